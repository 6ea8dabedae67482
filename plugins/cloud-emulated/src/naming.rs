//! Names and keys. An instance's name begins with a hash of its tag, and its key ends with its name:
//!
//! | key | value |
//! |---|---|
//! | `i/ACCOUNT/NAME` | one instance (`record.rs`); `NAME` = `vm-TAGHASH-TIMERANDOM`, `vol-…`, `net-…`, `att-…` |
//! | `q/ACCOUNT` | what the account uses, and what is in doubt (`ledger.rs`) |
//! | `c/NETWORK/INDEX` | who holds this address of a network (`claims.rs`) |
//! | `c/VOLUME/held` | who holds this volume |
//! | `f/ACCOUNT/RULE/OPERATION/SUBJECT` | how often a fault rule was asked (`faults.rs`) |
//!
//! So one write both makes an instance and makes it findable by its tag: there is no tag index that a crash could
//! leave behind, and a search by tag reads the keys of that tag alone. Accounts (opaque, up to 4 KiB) appear as 128
//! bits of their SHA-256; a tag's 64 bits only narrow a search, the record's own tag decides.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A virtual machine.
    Compute,
    /// Block storage.
    Volume,
    /// A network.
    Network,
    /// A volume on a compute.
    Attachment,
}

impl Kind {
    /// What its names begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Kind::Compute => "vm",
            Kind::Volume => "vol",
            Kind::Network => "net",
            Kind::Attachment => "att",
        }
    }

    /// The kind with this word in the contract.
    pub(crate) fn of_word(word: &str) -> Option<Kind> {
        [Kind::Compute, Kind::Volume, Kind::Network, Kind::Attachment]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// Its word in the contract.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Compute => "compute",
            Kind::Volume => "volume",
            Kind::Network => "network",
            Kind::Attachment => "attachment",
        }
    }
}

/// An account's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account(String);

impl Account {
    /// The namespace of the account that a local token names.
    pub(crate) fn of(name: &str) -> Account {
        Account(hash_hex(name, 32))
    }

    /// Where the instance `id` is kept.
    pub(crate) fn instance(&self, id: &str) -> String {
        format!("i/{}/{id}", self.0)
    }

    /// What the keys of all instances of `kind` begin with.
    pub(crate) fn instances(&self, kind: Kind) -> String {
        format!("i/{}/{}-", self.0, kind.prefix())
    }

    /// What the keys of all instances with `tag` begin with.
    pub(crate) fn tagged(&self, kind: Kind, tag: &str) -> String {
        format!("i/{}/{}-{}-", self.0, kind.prefix(), hash_hex(tag, 16))
    }

    /// Where the account's use is kept.
    pub(crate) fn ledger(&self) -> String {
        format!("q/{}", self.0)
    }

    /// Where the calls of one fault rule about one subject are counted.
    pub(crate) fn fault_count(&self, rule: usize, operation: &str, subject: &str) -> String {
        format!("f/{}/{rule}/{operation}/{}", self.0, hash_hex(subject, 16))
    }
}

/// A fresh name. Names of one tag sort by age.
pub(crate) fn fresh_id(kind: Kind, tag: &str, now_ms: u64, random: u64) -> String {
    format!("{}-{}-{now_ms:011x}{:08x}", kind.prefix(), hash_hex(tag, 16), random & 0xffff_ffff)
}

/// Whether this cloud could have given the name `id` to an instance of `kind`. A key is never made of anything else.
pub(crate) fn is_ours(kind: Kind, id: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = id.split('-');
    let (prefix, tag, rest, end) = (parts.next(), parts.next(), parts.next(), parts.next());
    prefix == Some(kind.prefix())
        && tag.is_some_and(|tag| tag.len() == 16 && hex(tag))
        && rest.is_some_and(|rest| (19..=24).contains(&rest.len()) && hex(rest))
        && end.is_none()
}

/// The key of another instance in the account of the instance kept under `key`.
pub(crate) fn beside(key: &str, id: &str) -> String {
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{id}")
}

/// What the keys of a network's addresses begin with.
pub(crate) fn addresses(network: &str) -> String {
    format!("c/{network}/")
}

/// Where the holder of one address is kept.
pub(crate) fn address(network: &str, index: u32) -> String {
    format!("c/{network}/{index:08x}")
}

/// Where the holder of a volume is kept.
pub(crate) fn volume_hold(volume: &str) -> String {
    format!("c/{volume}/held")
}

/// The first `digits` hex digits of the text's SHA-256.
fn hash_hex(text: &str, digits: usize) -> String {
    let mut hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

/// 64 well-mixed bits of the text: for jitter, first addresses and seeded faults.
pub(crate) fn mix(text: &str) -> u64 {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_under_its_tag_and_under_no_other() {
        let account = Account::of("alice");
        let id = fresh_id(Kind::Volume, "archipel:site:order", 1_700_000_000_000, 7);
        assert!(account.instance(&id).starts_with(&account.tagged(Kind::Volume, "archipel:site:order")));
        assert!(!account.instance(&id).starts_with(&account.tagged(Kind::Volume, "archipel:site:other")));
        assert!(account.instance(&id).starts_with(&account.instances(Kind::Volume)));
        assert!(is_ours(Kind::Volume, &id) && !is_ours(Kind::Compute, &id));
    }

    #[test]
    fn names_that_would_reach_elsewhere_are_not_ours() {
        for id in
            ["", "vm-", "vm-../q", "vm-0123456789abcdef-0/../../x", "vm-0123456789abcdeg-0123456789abcdef012"]
        {
            assert!(!is_ours(Kind::Compute, id), "{id}");
        }
    }

    #[test]
    fn keys_fit_the_hosts_limit_whatever_the_account_is_called() {
        let account = Account::of(&"x/й".repeat(2000));
        let id = fresh_id(Kind::Attachment, "t", u64::MAX, u64::MAX);
        assert!(account.instance(&id).len() < 256);
        assert_ne!(Account::of("a"), Account::of("b"));
    }

    #[test]
    fn a_neighbour_lives_in_the_same_account() {
        assert_eq!(beside("i/abc/att-1", "vm-2"), "i/abc/vm-2");
    }
}

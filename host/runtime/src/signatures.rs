//! Who signed a plugin, and whether that is enough.
//!
//! A signature is a file in minisign's format beside the component, `NAME.wasm.minisig`, over the component's bytes as
//! minisign makes it by default (Ed25519 over their BLAKE2b-512). The site file says which keys count:
//! ```toml
//! [signatures]
//! required = ["archipel:aaa/*"]              # whose plugins must be signed; "*" = all; none by default
//!
//! [[signatures.key]]
//! name = "operations"                        # for pins: pin = "key:operations"
//! key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
//! interfaces = ["archipel:aaa/*"]            # what it may vouch for; all where left out
//! ```
//! What always holds: a signature that is wrong, by a key that counts, refuses the plugin, required or not; a key that
//! does not count is as no signature; a key that is taken out of the site file stops counting at the next reload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Bytes of a signature's file.
pub(crate) const MAX_BYTES: u64 = 8 << 10;

/// `[signatures]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignaturePolicy {
    /// Interfaces whose plugins must be signed by a key that may vouch for them.
    pub required: Vec<String>,
    /// `[[signatures.key]]`: the keys that count.
    pub key: Vec<SigningKey>,
}

/// A key that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Its name at this site.
    pub name: String,
    /// The public key as minisign prints it: the second line of `minisign.pub`.
    pub key: String,
    /// Interfaces that it may vouch for.
    #[serde(default = "all")]
    pub interfaces: Vec<String>,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

/// What a component's signature came to when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    #[default]
    Not,
    /// It is right, by this public key (as in [`SigningKey::key`]).
    By {
        /// The key.
        key: String,
    },
    /// By a key that the site file does not name.
    ByStranger {
        /// The key's id, as minisign shows it.
        id: String,
    },
    /// It is wrong.
    Badly {
        /// Why.
        reason: String,
    },
}

impl Signed {
    /// Judges a signature over the bytes of a component.
    pub fn judge(bytes: &[u8], signature: Option<&str>, policy: &SignaturePolicy) -> Self {
        let badly = |reason: &str| Self::Badly { reason: reason.to_owned() };
        let Some(text) = signature else { return Self::Not };
        let Ok(signature) = Signature::decode(text) else {
            return badly("it is not in minisign's format");
        };
        for known in &policy.key {
            let Ok(key) = PublicKey::from_base64(&known.key) else { continue };
            match key.verify(bytes, &signature, false) {
                Ok(()) => return Self::By { key: known.key.clone() },
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::InvalidSignature) => return badly("it is of other bytes than these"),
                Err(Error::UnexpectedAlgorithm) => {
                    return badly(
                        "it is in minisign's old form, which is not hashed; make it with minisign -S -H",
                    );
                }
                Err(error) => return badly(&error.to_string()),
            }
        }
        let id = text.lines().nth(1).and_then(key_id);
        Self::ByStranger { id: id.unwrap_or_else(|| "of no name".to_owned()) }
    }

    /// The key's name at this site, where it counts there.
    pub fn by<'a>(&self, policy: &'a SignaturePolicy) -> Option<&'a SigningKey> {
        match self {
            Self::By { key } => policy.key.iter().find(|known| known.key == *key),
            _ => None,
        }
    }

    fn words(&self, policy: &SignaturePolicy) -> String {
        match (self, self.by(policy)) {
            (_, Some(key)) => format!("it is signed by {}", key.name),
            (Self::Not, _) => "it is not signed".to_owned(),
            (Self::By { key }, None) => {
                format!(
                    "it is signed by {}, which the site file no longer names",
                    key_id(key).unwrap_or_default()
                )
            }
            (Self::ByStranger { id }, _) => {
                format!("it is signed by {id}, which the site file does not name")
            }
            (Self::Badly { reason }, _) => format!("its signature is wrong: {reason}"),
        }
    }
}

impl SigningKey {
    /// Whether it is meant by a pin: its name, or its id as minisign shows it.
    pub fn is_called(&self, id: &str) -> bool {
        self.name == id || key_id(&self.key).is_some_and(|known| known.eq_ignore_ascii_case(id))
    }

    fn vouches_for(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|pattern| matches(pattern, interface))
    }
}

impl SignaturePolicy {
    /// What is wrong with it, each with its place.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, key) in self.key.iter().enumerate() {
            let place = format!("signatures: key {:?}", key.name);
            if PublicKey::from_base64(&key.key).is_err() {
                problems.push(format!(
                    "{place}: key is no public key of minisign; write the second line of its .pub file"
                ));
            }
            if self.key.iter().take(index).any(|earlier| earlier.name == key.name) {
                problems.push(format!("{place}: there are two of this name; rename one"));
            }
        }
        let patterns = self.required.iter().chain(self.key.iter().flat_map(|key| &key.interfaces));
        for pattern in patterns.filter(|pattern| !is_pattern(pattern)) {
            problems.push(format!(
                "signatures: {pattern:?} is no interface; write e.g. \"archipel:aaa/authorization\", \"archipel:cloud/*\" or \"*\""
            ));
        }
        problems
    }

    /// Whether a plugin with these exports may serve, as far as its signature says.
    ///
    /// # Errors
    /// A wrong signature, or none that counts where one is required.
    pub fn admits(&self, plugin: &str, interfaces: &[String], signed: &Signed) -> Result<(), Refusal> {
        if let Signed::Badly { reason } = signed {
            return Err(Refusal::Signature { plugin: plugin.to_owned(), reason: reason.clone() });
        }
        let by = signed.by(self);
        let lacking = interfaces.iter().find(|interface| {
            self.required.iter().any(|pattern| matches(pattern, interface))
                && !by.is_some_and(|key| key.vouches_for(interface))
        });
        let Some(interface) = lacking else { return Ok(()) };
        let how = match by {
            Some(key) => format!("{} may not vouch for it", key.name),
            None => signed.words(self),
        };
        let keys: Vec<&str> =
            self.key.iter().filter(|key| key.vouches_for(interface)).map(|key| key.name.as_str()).collect();
        Err(Refusal::Unsigned {
            interface: interface.clone(),
            how,
            keys: if keys.is_empty() { "none".to_owned() } else { keys.join(", ") },
        })
    }

    /// Whether a pin to a key accepts it: the key counts, and vouches for all that the plugin exports.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn pinned(&self, id: &str, interfaces: &[String], signed: &Signed) -> Result<(), String> {
        match signed.by(self) {
            Some(key) if !key.is_called(id) => Err(format!("it is signed by {}", key.name)),
            Some(key) => match interfaces.iter().find(|interface| !key.vouches_for(interface)) {
                None => Ok(()),
                Some(interface) => Err(format!("{} may not vouch for {interface}", key.name)),
            },
            None => Err(signed.words(self)),
        }
    }
}

/// `archipel:aaa/authorization@0.1.0` by `*`, `archipel:*`, `archipel:aaa/*` or `archipel:aaa/authorization`.
fn matches(pattern: &str, interface: &str) -> bool {
    let name = interface.split('@').next().unwrap_or(interface);
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn is_pattern(pattern: &str) -> bool {
    let start = pattern.strip_suffix('*').unwrap_or(pattern);
    pattern == "*" || (start.starts_with("archipel:") && !start.contains(['*', '@']))
}

/// The id in a public key or a signature, as minisign shows it: eight bytes, the last first, in hexadecimal.
fn key_id(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by minisign 0.11 (Debian): `minisign -G -W`, `printf 'a component' > a.wasm; minisign -S -m a.wasm`.
    const KEY: &str = "RWTEsQT48gp9hXd6ZxxlCWwBjYfHbSupXug2BGCdL4TNH4RQc3S8h28I";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\nRUTEsQT48gp9hc0mAYe6kB2yKi/D5DEsaL9xHoCpMf+4EX3mujCrXU99r0PVYToG7ScvhVFlGk9rNesgveElp62uSrhC93t+uAw=\ntrusted comment: timestamp:1795342396	file:a.wasm	hashed\nter6qYx+xXR8DpRebD4DBIwtzmra0CHT4xKzItWlMi3FBixjlycKLy/iTSpktzP5TQhs9/olWtJniOflNF62Aw==\n";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\nRWTEsQT48gp9hUT4lsst1dssBuTWPQ2VVpJbP99eNQynktud/DRtSBj44xAPA4g3kxVvE7mO4D5Y7/npUKJJ7c62vIfcrQg6Bgo=\ntrusted comment: timestamp:1795342396	file:a.wasm\nShgypkEqh5xCIXi8g/5tez9FsxU+ws4HI3K+L5JqhdO24Hcll7WGaCXp44C1y0IMnApEFbXtIns9FiOKWH1qDw==\n";
    const STRANGER: &str = "untrusted comment: signature from minisign secret key\nRUQ4GCx/51aFuIn7a45WlyIVSQ7aTu7UqppFierTnloH3pODkZpoeW4aMGAiofVjyseuCJd3myz5MrtRKjdtOqgclQ4gaYej6wQ=\ntrusted comment: timestamp:1795342396	file:a.wasm	hashed\n0o9FXYvnNyTQxhUrVyGxX5x4D/s6X4gq3Z1yy8t+FM0FRQ+3bCDN2SrfLrTaH+qVPL5b2xKM1M5kp3cQRbcbAg==\n";
    const BYTES: &[u8] = b"a component";

    fn policy(required: &[&str], interfaces: &[&str]) -> SignaturePolicy {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        SignaturePolicy {
            required: owned(required),
            key: vec![SigningKey {
                name: "operations".into(),
                key: KEY.into(),
                interfaces: owned(interfaces),
            }],
        }
    }

    fn exports() -> Vec<String> {
        vec!["archipel:aaa/authorization@0.1.0".to_owned()]
    }

    #[test]
    fn a_signature_by_the_tool_counts_and_one_of_other_bytes_refuses() {
        let policy = policy(&[], &["*"]);
        assert_eq!(policy.check(), Vec::<String>::new());
        let good = Signed::judge(BYTES, Some(SIGNATURE), &policy);
        assert_eq!(good.by(&policy).unwrap().name, "operations");
        let other = Signed::judge(b"other bytes", Some(SIGNATURE), &policy);
        let refused = policy.admits("p", &exports(), &other).unwrap_err().to_string();
        assert!(refused.contains("it is of other bytes than these"), "{refused}");
        for wrong in ["", "untrusted comment: x\n\n", LEGACY] {
            let judged = Signed::judge(BYTES, Some(wrong), &policy);
            assert!(matches!(judged, Signed::Badly { .. }), "{judged:?}");
        }
        // Every byte of the file counts, but for the comment that says so itself.
        let trusted = SIGNATURE.replace("trusted comment: timestamp", "trusted comment: timestomp");
        assert!(matches!(Signed::judge(BYTES, Some(&trusted), &policy), Signed::Badly { .. }));
    }

    #[test]
    fn what_must_be_signed_must_be_by_a_key_that_may() {
        let required = policy(&["archipel:aaa/*"], &["archipel:aaa/authorization"]);
        let signed = Signed::judge(BYTES, Some(SIGNATURE), &required);
        assert!(required.admits("p", &exports(), &signed).is_ok());
        let told = |policy: &SignaturePolicy, exports: &[String], signed: &Signed| {
            policy.admits("p", exports, signed).unwrap_err().to_string()
        };
        assert_eq!(
            told(&required, &exports(), &Signed::Not),
            "[signatures] requires that archipel:aaa/authorization@0.1.0 is signed, and it is not signed; sign it with minisign (keys that count: operations) and put NAME.wasm.minisig beside it"
        );
        let stranger = Signed::judge(BYTES, Some(STRANGER), &required);
        assert!(told(&required, &exports(), &stranger).contains("which the site file does not name"));
        let mapper = ["archipel:aaa/federation-to-local-mapper@0.1.0".to_owned()];
        assert!(told(&required, &mapper, &signed).contains("operations may not vouch for it"));
        let cloud = ["archipel:cloud/compute@0.1.0".to_owned()];
        assert!(required.admits("p", &cloud, &Signed::Not).is_ok(), "not required");
        let none = SignaturePolicy { key: vec![], ..required };
        assert!(told(&none, &exports(), &signed).contains("no longer names"));
    }

    #[test]
    fn a_pin_names_the_key_or_its_id() {
        let policy = policy(&[], &["archipel:aaa/*"]);
        let signed = Signed::judge(BYTES, Some(SIGNATURE), &policy);
        for id in ["operations", &key_id(KEY).unwrap(), &key_id(KEY).unwrap().to_lowercase()] {
            assert_eq!(policy.pinned(id, &exports(), &signed), Ok(()), "{id}");
        }
        assert_eq!(policy.pinned("other", &exports(), &signed).unwrap_err(), "it is signed by operations");
        assert_eq!(policy.pinned("operations", &exports(), &Signed::Not).unwrap_err(), "it is not signed");
        let cloud = ["archipel:cloud/compute@0.1.0".to_owned()];
        assert!(policy.pinned("operations", &cloud, &signed).unwrap_err().contains("may not vouch for"));
    }

    #[test]
    fn a_policy_that_cannot_be_meant_is_refused() {
        let mut wrong = policy(&["aaa"], &["archipel:*@0.1.0"]);
        wrong.key.push(SigningKey { name: "operations".into(), key: "RW".into(), interfaces: all() });
        assert_eq!(wrong.check().len(), 4, "{:?}", wrong.check());
        assert!(toml::from_str::<SignaturePolicy>("require = []").is_err());
    }
}

//! One master key in a file; every purpose gets a signing key of its own by derivation, so that a token made for one
//! purpose or by one binding cannot pass for another's, whatever claims it carries.
//!
//! Derivation is HKDF-Expand with SHA-256 (RFC 5869, one block) over length-prefixed labels: `["a", "bc"]` and
//! `["ab", "c"]` give different keys. The master is 32 random bytes, so no Extract step is needed (section 3.3).
//!
//! The master is changed as the sealing key is ([`keyring`](crate::keyring)): a new one is put in front of its file, signs from
//! the next start on, and what the older ones signed goes on being good until they are taken out.

use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::VaultError;
use crate::jws;
use crate::key_file::{self, KeyBytes};

/// The site's signing keys.
pub struct Keys {
    master: KeyBytes,
    older: Vec<KeyBytes>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// With the master key in `folder/site.key`, which is made (0600) at the first start.
    ///
    /// # Errors
    /// The file cannot be read, is open to others, or is no key.
    pub fn load_or_create(folder: &Path) -> Result<Self, VaultError> {
        let path = file_in(folder);
        let mut keys = key_file::load_or_create(&path)?.into_iter();
        let master = keys.next().ok_or(VaultError::BadKey { path })?;
        Ok(Self { master, older: keys.collect() })
    }

    /// Puts a new master key in front of those in the folder. Whoever loads them from then on signs with it.
    ///
    /// # Errors
    /// The file cannot be read or written, or has too many keys already.
    pub fn rotate(folder: &Path) -> Result<(), VaultError> {
        key_file::put_in_front(&file_in(folder))
    }

    /// Leaves only the master key that signs in the folder: what the older ones signed is good for nobody who loads it from
    /// then on.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn forget_older(folder: &Path) -> Result<(), VaultError> {
        key_file::keep_first(&file_in(folder))
    }

    /// With this master key.
    pub fn from_master(master: [u8; 32]) -> Self {
        Self { master: Zeroizing::new(master), older: Vec::new() }
    }

    /// With this older key besides.
    #[must_use]
    pub fn with_older(mut self, master: [u8; 32]) -> Self {
        self.older.push(Zeroizing::new(master));
        self
    }

    /// The key for one purpose, e.g. `["site-token"]` or `["plugin", binding, purpose]`.
    pub fn signer(&self, purpose: &[&str]) -> Signer {
        let labels = [&["sign"], purpose].concat();
        let key = |master: &KeyBytes| SigningKey::from_bytes(&derive(master, &labels));
        let older = self.older.iter().map(|master| key(master).verifying_key()).collect();
        Signer::new(key(&self.master), older)
    }

    /// 32 bytes for one purpose that needs a symmetric key, e.g. a MAC over cursors or cached code.
    pub fn symmetric(&self, purpose: &[&str]) -> Zeroizing<[u8; 32]> {
        derive(&self.master, &[&["symmetric"], purpose].concat())
    }

    /// The same of the older keys.
    pub fn older_symmetric(&self, purpose: &[&str]) -> Vec<Zeroizing<[u8; 32]>> {
        let labels = [&["symmetric"], purpose].concat();
        self.older.iter().map(|master| derive(master, &labels)).collect()
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("site.key")
}

/// Makes and checks compact JWS with EdDSA (RFC 8037) for one purpose.
pub struct Signer {
    key: SigningKey,
    kid: String,
    /// Whose signatures are good as well.
    older: Vec<VerifyingKey>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.kid)
    }
}

impl Signer {
    fn new(key: SigningKey, older: Vec<VerifyingKey>) -> Self {
        let digest = Sha256::digest(key.verifying_key().as_bytes());
        let kid = hex::encode(digest.get(..8).unwrap_or_default());
        Self { key, kid, older }
    }

    /// The key's short name, as in the token's header.
    pub fn key_id(&self) -> &str {
        &self.kid
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs claims. `typ` separates kinds of token under one key, e.g. `JWT`.
    pub fn sign(&self, typ: &str, claims: &serde_json::Map<String, serde_json::Value>) -> String {
        let input = jws::signing_input("EdDSA", typ, &self.kid, claims);
        let signature = self.key.sign(input.as_bytes());
        jws::join(&input, &signature.to_bytes())
    }

    /// The claims of a token that this key signed, or an older one. Times are the caller's to check.
    ///
    /// # Errors
    /// `NotAToken`, or `BadSignature` for another key, another `typ` or changed bytes.
    pub fn verify(
        &self,
        typ: &str,
        token: &[u8],
    ) -> Result<serde_json::Map<String, serde_json::Value>, VaultError> {
        let of_this = verify(&self.key.verifying_key(), typ, token);
        self.older.iter().fold(of_this, |claims, key| claims.or_else(|_| verify(key, typ, token)))
    }
}

/// [`Signer::verify`] with the public half alone.
///
/// # Errors
/// As there.
pub fn verify_with(
    public: &[u8; 32],
    typ: &str,
    token: &[u8],
) -> Result<serde_json::Map<String, serde_json::Value>, VaultError> {
    verify(&VerifyingKey::from_bytes(public).map_err(|_| VaultError::BadSignature)?, typ, token)
}

fn verify(
    key: &VerifyingKey,
    typ: &str,
    token: &[u8],
) -> Result<serde_json::Map<String, serde_json::Value>, VaultError> {
    let token = jws::split(token)?;
    if token.header.alg != "EdDSA" || token.header.typ.as_deref() != Some(typ) {
        return Err(VaultError::BadSignature);
    }
    let signature =
        ed25519_dalek::Signature::from_slice(&token.signature).map_err(|_| VaultError::BadSignature)?;
    key.verify_strict(token.signing_input, &signature).map_err(|_| VaultError::BadSignature)?;
    token.claims()
}

/// HKDF-Expand to 32 bytes over length-prefixed labels.
pub(crate) fn derive(master: &[u8; 32], labels: &[&str]) -> Zeroizing<[u8; 32]> {
    // HMAC takes keys of any length, so this cannot fail; a zero tag would be the honest outcome if it did.
    let mut out = Zeroizing::new([0; 32]);
    if let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(master) {
        mac.update(b"archipel");
        for label in labels {
            mac.update(&(label.len() as u64).to_be_bytes());
            mac.update(label.as_bytes());
        }
        mac.update(&[1]);
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> serde_json::Map<String, serde_json::Value> {
        json!({"sub": "alice", "n": 1}).as_object().unwrap().clone()
    }

    #[test]
    fn a_token_is_good_for_its_purpose_and_type_alone() {
        let keys = Keys::from_master([1; 32]);
        let signer = keys.signer(&["plugin", "local", "session"]);
        let token = signer.sign("JWT", &claims());
        assert_eq!(signer.verify("JWT", token.as_bytes()).unwrap(), claims());
        assert!(signer.verify("at+jwt", token.as_bytes()).is_err());
        for other in [
            &["plugin", "local", "reset"][..],
            &["plugin", "other", "session"],
            &["plugin", "loc", "alsession"],
        ] {
            assert!(keys.signer(other).verify("JWT", token.as_bytes()).is_err(), "{other:?}");
        }
        assert!(
            Keys::from_master([2; 32])
                .signer(&["plugin", "local", "session"])
                .verify("JWT", token.as_bytes())
                .is_err()
        );
        assert!(verify_with(&signer.public_key(), "JWT", token.as_bytes()).is_ok());
    }

    #[test]
    fn a_changed_token_is_refused_at_every_byte() {
        let signer = Keys::from_master([1; 32]).signer(&["x"]);
        let token = signer.sign("JWT", &claims()).into_bytes();
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(signer.verify("JWT", &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn alg_none_and_other_algorithms_are_refused() {
        let signer = Keys::from_master([1; 32]).signer(&["x"]);
        for alg in ["none", "HS256", "eddsa"] {
            let token = jws::join(&jws::signing_input(alg, "JWT", signer.key_id(), &claims()), &[]);
            assert!(matches!(signer.verify("JWT", token.as_bytes()), Err(VaultError::BadSignature)), "{alg}");
        }
    }

    #[test]
    fn what_an_older_key_signed_is_good_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let purpose = ["plugin", "local", "session"];
        let old = Keys::load_or_create(folder.path()).unwrap();
        let token = old.signer(&purpose).sign("JWT", &claims());
        Keys::rotate(folder.path()).unwrap();
        let both = Keys::load_or_create(folder.path()).unwrap();
        assert_ne!(both.signer(&purpose).key_id(), old.signer(&purpose).key_id());
        assert_eq!(both.signer(&purpose).verify("JWT", token.as_bytes()).unwrap(), claims());
        assert!(both.signer(&["plugin", "local", "reset"]).verify("JWT", token.as_bytes()).is_err());
        assert_eq!(both.older_symmetric(&["a"]), [old.symmetric(&["a"])]);
        let newer = both.signer(&purpose).sign("JWT", &claims());
        Keys::forget_older(folder.path()).unwrap();
        let new = Keys::load_or_create(folder.path()).unwrap();
        assert!(new.signer(&purpose).verify("JWT", token.as_bytes()).is_err());
        assert_eq!(new.signer(&purpose).verify("JWT", newer.as_bytes()).unwrap(), claims());
    }

    #[test]
    fn keys_survive_a_restart_and_differ_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::load_or_create(folder.path()).unwrap();
        let second = Keys::load_or_create(folder.path()).unwrap();
        assert_eq!(first.signer(&["a"]).public_key(), second.signer(&["a"]).public_key());
        assert_ne!(*first.symmetric(&["a"]), *first.symmetric(&["b"]));
    }
}

//! The site's keys, all made from one 32-byte master: one secret to back up, and no key serves two purposes.
//!
//! Each key is the first block of HKDF-Expand (RFC 5869) with HMAC-SHA-256 under the master and a label of its own.
//! HKDF-Extract is left out, as section 3.3 permits: the master is uniformly random already.

use std::fmt;

use archipel_model::{Error, SecretBytes, SessionId};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use moka::sync::Cache;
use rand::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::cache::KeyHasher;

/// Bytes of a nonce of ChaCha20-Poly1305 (RFC 8439); it stands before the sealed bytes.
const NONCE_BYTES: usize = 12;

/// Signs, seals and authenticates for one site.
pub struct SiteKeys {
    signing: SigningKey,
    /// That of `signing` first.
    verifying: Vec<VerifyingKey>,
    /// The first seals, all open.
    sealing: Vec<ChaCha20Poly1305>,
    mac: Zeroizing<[u8; 32]>,
    /// Digests of signed bytes with signatures that hold: whoever uses a token uses it again, and Ed25519 takes as long
    /// as a plugin's call.
    verified: Cache<[u8; 32], ()>,
}

/// Signatures that are remembered.
const VERIFIED: u64 = 16 * 1024;

impl SiteKeys {
    /// Makes all keys from the master.
    pub fn from_master(master: &[u8; 32]) -> Self {
        let signing = signing(master);
        Self {
            verifying: vec![signing.verifying_key()],
            signing,
            sealing: vec![sealing(master)],
            mac: derive(master, b"archipel/v1/authenticate"),
            verified: Cache::new(VERIFIED),
        }
    }

    /// The same, taking what was signed and sealed with older keys too. Tags are of the newest alone: a cursor is given again.
    #[must_use]
    pub fn with_older<'a>(mut self, masters: impl IntoIterator<Item = &'a [u8; 32]>) -> Self {
        for master in masters {
            self.verifying.push(signing(master).verifying_key());
            self.sealing.push(sealing(master));
        }
        self
    }

    /// An authentication tag over `bytes`, good for this `purpose` alone. For cursors and the like.
    pub fn mac(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let length = (purpose.len() as u64).to_be_bytes();
        hmac_sha256(&self.mac, &[&length, purpose.as_bytes(), bytes])
    }

    /// The public half: who holds it can verify this site's tokens.
    pub fn public_key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes).to_bytes()
    }

    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let mut hasher = KeyHasher::new("signature");
        hasher.bytes(bytes);
        hasher.bytes(signature);
        let digest = hasher.finish();
        if self.verified.contains_key(&digest) {
            return true;
        }
        let holds = Signature::from_slice(signature).is_ok_and(|signature| {
            self.verifying.iter().any(|key| key.verify_strict(bytes, &signature).is_ok())
        });
        if holds {
            self.verified.insert(digest, ());
        }
        holds
    }

    /// Seals bytes; only the same `bound_to` opens them again.
    pub(crate) fn seal(&self, plain: &[u8], bound_to: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rngs::OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(|error| Error::transient(format!("the system gave no random bytes: {error}")))?;
        let sealed = self
            .sealing
            .first()
            .and_then(|key| {
                key.encrypt(Nonce::from_slice(&nonce), Payload { msg: plain, aad: bound_to }).ok()
            })
            .ok_or_else(|| Error::internal("a secret could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`seal`](Self::seal) made. `None`: altered, of another key, or bound to something else.
    pub(crate) fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<SecretBytes> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let opened = |key: &ChaCha20Poly1305| {
            key.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: bound_to }).ok()
        };
        self.sealing.iter().find_map(opened).map(SecretBytes::new)
    }
}

impl fmt::Debug for SiteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteKeys").finish_non_exhaustive()
    }
}

/// What the plugin's token of a session is bound to, so that it opens in no other session.
pub(crate) fn session_binding(session: SessionId, binding: &str) -> Vec<u8> {
    [b"session".as_slice(), session.as_bytes(), binding.as_bytes()].concat()
}

fn signing(master: &[u8; 32]) -> SigningKey {
    SigningKey::from_bytes(&derive(master, b"archipel/v1/sign site tokens"))
}

fn sealing(master: &[u8; 32]) -> ChaCha20Poly1305 {
    let key = derive(master, b"archipel/v1/seal session tokens");
    ChaCha20Poly1305::new(chacha20poly1305::Key::from_slice(key.as_slice()))
}

fn derive(master: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(master, &[label, &[1]]))
}

fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC pads a short key with zeros to its block of 64 bytes (RFC 2104); padding it here leaves nothing to fail.
    let mut block = Zeroizing::new([0_u8; 64]);
    for (padded, byte) in block.iter_mut().zip(key) {
        *padded = *byte;
    }
    let mut mac = <Hmac<Sha256> as Mac>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_for_one_purpose_and_one_site() {
        let keys = SiteKeys::from_master(&[7; 32]);
        assert_eq!(keys.mac("cursor", b"x"), SiteKeys::from_master(&[7; 32]).mac("cursor", b"x"));
        assert_ne!(keys.mac("cursor", b"x"), keys.mac("cursors", b""));
        assert_ne!(keys.mac("cursor", b"x"), SiteKeys::from_master(&[8; 32]).mac("cursor", b"x"));
    }

    #[test]
    fn what_older_keys_made_is_good_beside_the_new_one_and_they_make_nothing_more() {
        let old = SiteKeys::from_master(&[7; 32]);
        let both = SiteKeys::from_master(&[8; 32]).with_older([&[7; 32]]);
        let (sealed, signature) = (old.seal(b"inner", b"session-1").unwrap(), old.sign(b"token"));
        assert_eq!(both.open(&sealed, b"session-1").unwrap().reveal(), b"inner");
        assert!(both.open(&sealed, b"session-2").is_none());
        assert!(both.verifies(b"token", &signature) && !both.verifies(b"other", &signature));
        assert!(!old.verifies(b"token", &both.sign(b"token")));
        assert!(old.open(&both.seal(b"inner", b"session-1").unwrap(), b"session-1").is_none());
        assert_eq!(both.public_key(), SiteKeys::from_master(&[8; 32]).public_key());
    }

    #[test]
    fn a_sealed_secret_opens_only_where_it_is_bound_to() {
        let keys = SiteKeys::from_master(&[7; 32]);
        let sealed = keys.seal(b"inner", b"session-1").unwrap();
        assert_eq!(keys.open(&sealed, b"session-1").unwrap().reveal(), b"inner");
        assert!(keys.open(&sealed, b"session-2").is_none());
        assert!(SiteKeys::from_master(&[8; 32]).open(&sealed, b"session-1").is_none());
        let mut bent = sealed.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert!(keys.open(&bent, b"session-1").is_none());
        assert!(keys.open(b"short", b"session-1").is_none());
        assert!(!format!("{keys:?}").contains('7'));
    }
}

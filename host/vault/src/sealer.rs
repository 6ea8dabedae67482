//! Sealing at rest: ChaCha20-Poly1305 (RFC 8439) with a random 96-bit nonce and a context that must match at opening,
//! so that a sealed value cannot be moved from one record to another.
//!
//! A random nonce allows 2^32 sealings under one key; each context gets its own key by derivation from the file's, so
//! the bound holds per context.

use archipel_model::SecretBytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::RngCore;
use zeroize::Zeroizing;

use crate::VaultError;
use crate::keys::derive;

/// Version byte in front of every sealed value.
const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Seals and opens.
pub struct Sealer {
    master: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// With this key.
    pub fn from_key(key: [u8; 32]) -> Self {
        Self { master: Zeroizing::new(key) }
    }

    fn cipher(&self, context: &str) -> ChaCha20Poly1305 {
        let key = derive(&self.master, &["seal", context]);
        ChaCha20Poly1305::new(Key::from_slice(key.as_slice()))
    }

    /// Seals bytes for one context, e.g. `session:ID`.
    ///
    /// # Errors
    /// More than 256 GiB at once.
    pub fn seal(&self, context: &str, bytes: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        rand::rngs::OsRng.fill_bytes(&mut nonce);
        let sealed = self
            .cipher(context)
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: bytes, aad: context.as_bytes() })
            .map_err(|_| VaultError::SealFailed)?;
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what [`seal`](Self::seal) made for the same context.
    ///
    /// # Errors
    /// `Unsealable`; it never says which of the reasons it was.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<SecretBytes, VaultError> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(VaultError::Unsealable)?;
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(VaultError::Unsealable)?;
        self.cipher(context)
            .decrypt(Nonce::from_slice(nonce), Payload { msg: text, aad: context.as_bytes() })
            .map(SecretBytes::new)
            .map_err(|_| VaultError::Unsealable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_unchanged_in_its_context_under_its_key() {
        let sealer = Sealer::from_key([7; 32]);
        let sealed = sealer.seal("session:1", b"token").unwrap();
        assert_eq!(sealer.open("session:1", &sealed).unwrap().reveal(), b"token");
        assert!(sealer.open("session:2", &sealed).is_err());
        assert!(Sealer::from_key([8; 32]).open("session:1", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open("session:1", &changed).is_err(), "byte {at}");
        }
        for short in [&sealed[..0], &sealed[..5], &sealed[..13]] {
            assert!(sealer.open("session:1", short).is_err());
        }
    }

    #[test]
    fn the_same_bytes_are_never_sealed_alike() {
        let sealer = Sealer::from_key([7; 32]);
        assert_ne!(sealer.seal("c", b"x").unwrap(), sealer.seal("c", b"x").unwrap());
    }
}

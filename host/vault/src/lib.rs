//! Secrets: where they come from, where they may go, and how they are sealed at rest.
//!
//! | file | idea |
//! |---|---|
//! | [`source`] | `[secrets.NAME]` of the site file, read once into [`Vault`] |
//! | [`rule`] | the pure decision: may this secret go to this origin, method, path and place? |
//! | [`mask`] | finds secret bytes in what a plugin is about to see, in the spellings that echo them |
//! | [`sealer`] | sealing: ChaCha20-Poly1305 under a key and for a context |
//! | [`keyring`] | the keys that secrets are sealed with at rest, in a file or a credential of systemd, and their change |
//! | [`sigv4`] | signatures of requests after AWS's Signature Version 4 |
//! | [`keys`] | one master key, from which every purpose gets a signing key of its own |
//! | [`jws`] | the small part of RFC 7515 that those keys need |
//!
//! The promise is *not disclosed by the host, usable only where bound*: a plugin that is granted a secret can still
//! use it where the grant says.

mod error;
pub mod jws;
mod key_file;
pub mod keyring;
pub mod keys;
pub mod mask;
pub mod rule;
pub mod sealer;
pub mod sigv4;
pub mod source;

pub use error::VaultError;
pub use keyring::{KeySource, Keyring, VaultKey};
pub use keys::{Keys, Signer};
pub use mask::Masker;
pub use rule::{Placement, SecretRule, may_use};
pub use sealer::Sealer;
pub use source::{SecretSource, Vault};

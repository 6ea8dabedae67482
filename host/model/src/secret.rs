//! Bytes that must not be shown, and the local token made of them.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Timestamp;

/// Secret bytes: wiped when dropped, never printed, never serialised.
#[derive(Clone)]
pub struct SecretBytes(Arc<Zeroizing<Vec<u8>>>);

impl SecretBytes {
    /// Takes the bytes into keeping.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// The bytes, for the one place that must use them. Named so that a reader stops here.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// A credential for one account of one cloud: made by a mapper, lent to drivers as a handle.
#[derive(Clone, Debug)]
pub struct LocalToken {
    /// The account, as the mapper named it.
    pub account: String,
    /// The credential; `None` where the cloud asks for none.
    pub secret: Option<SecretBytes>,
    /// When it ends, where it says.
    pub expires_at: Option<Timestamp>,
    /// What the driver may know, as JSON.
    pub attributes: String,
    /// The binding that made it: its grants bind where the credential may go.
    pub made_by: String,
}

//! What stands behind the resources of the contract: rows of one call's table. A plugin holds an
//! index into that table, never the bytes, and the row dies with the call.

use archipel_model::{LocalToken as ModelToken, SecretBytes};

/// A secret that a plugin may name and use, but not read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The name that grants use: `[secrets]` name, `login.FIELD`, `session` or `captured.NAME`.
    pub name: String,
    /// What it hides.
    pub bytes: SecretBytes,
}

/// A credential for one account of one cloud, as [`ModelToken`] keeps it.
#[derive(Clone, Debug)]
pub struct LocalToken {
    /// The whole token, with the binding that made it.
    pub token: ModelToken,
}

/// The session of the user on whose behalf the host calls.
#[derive(Clone, Debug)]
pub struct UserSession {
    /// The user's own token.
    pub token: SecretBytes,
}

/// A stretch of time that a benchmark measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which of the run's.
    pub index: usize,
}

//! What can go wrong with secrets and keys. Messages name secrets and files, never contents.

use std::path::PathBuf;

/// A failure of the vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A secret's table names none or several of `sealed`, `file`, `credential`, `env` and `value`.
    #[error("[secrets.{name}] must have exactly one of `sealed`, `file`, `credential`, `env` and `value`")]
    AmbiguousSource {
        /// The secret.
        name: String,
    },
    /// The secret's environment variable is not set.
    #[error("[secrets.{name}]: environment variable {variable} is not set")]
    MissingVariable {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// systemd gave the daemon no such credential.
    #[error(
        "[secrets.{name}]: there is no credential {credential:?} in $CREDENTIALS_DIRECTORY; add \
         LoadCredential={credential}:FILE to the unit, and restart it"
    )]
    MissingCredential {
        /// The secret.
        name: String,
        /// The credential.
        credential: String,
    },
    /// systemd gave the daemon no key.
    #[error(
        "[vault]: there is no credential {credential:?} in $CREDENTIALS_DIRECTORY; add \
         LoadCredentialEncrypted={credential}:FILE (or LoadCredential=) to the unit, and restart it"
    )]
    NoKeyCredential {
        /// The credential.
        credential: String,
    },
    /// A file that should be sealed is something else.
    #[error("[secrets.{name}]: its file is no sealed secret; write it with archipel secret seal {name}")]
    NotSealed {
        /// The secret.
        name: String,
    },
    /// The key that sealed it is not here.
    #[error(
        "[secrets.{name}]: it was sealed with key {key}, which [vault] does not have; give it the key file that it was \
         sealed with, or seal it anew with archipel secret seal {name}"
    )]
    UnknownKey {
        /// The secret.
        name: String,
        /// The key's name.
        key: String,
    },
    /// It cannot be opened.
    #[error(
        "[secrets.{name}]: it cannot be opened: it was sealed for another name, or changed; seal it anew with archipel secret seal {name}"
    )]
    Broken {
        /// The secret.
        name: String,
    },
    /// The name cannot be used in grants.
    #[error(
        "[secrets.{name}]: the name is kept for the host's own handles; choose another than login.*, captured.*, signed.*, session and local-token"
    )]
    ReservedName {
        /// The secret.
        name: String,
    },
    /// Others may read the file.
    #[error("{} has mode {mode:04o}; run `chmod 600` on it, secrets are for their owner alone", path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Larger than any secret or key is.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        limit: u64,
    },
    /// A key file in which no more keys have room.
    #[error("{} has {most} keys; end the change that was begun, so that the older ones can be taken out", path.display())]
    TooManyKeys {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        most: usize,
    },
    /// A key file that is not a key.
    #[error("{} is not a key of 64 hexadecimal digits; restore it from your backup, a new one makes what was sealed unreadable", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was to be opened was sealed by another key, for another context, or was changed.
    #[error("sealed bytes cannot be opened: another key, another context, or changed")]
    Unsealable,
    /// Sealing failed.
    #[error("bytes could not be sealed")]
    SealFailed,
    /// A token that these keys did not make, or that was changed.
    #[error("the signature is not valid")]
    BadSignature,
    /// Not a compact JWS with a JSON object inside.
    #[error("not a compact JWS (RFC 7515) with a JSON object inside")]
    NotAToken,
}

impl VaultError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

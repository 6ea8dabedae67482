//! `[secrets.NAME]` of the site file: exactly one of `sealed = "..."`, `file = "..."` (0600 or 0400), `credential = "..."`,
//! `env = "..."`, `value = "..."`.
//!
//! Everything is read when the site starts or reloads, so that a missing file is found then and not at three in the
//! morning; one final line end is removed, because editors add it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use archipel_model::SecretBytes;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::VaultError;
use crate::key_file::{read_closed_to, read_private};
use crate::keyring::{KeySource, Keyring};

/// Where one secret comes from.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// A file that `archipel secret seal` wrote, relative to the site file: worth nothing without the key of `[vault]`.
    pub sealed: Option<PathBuf>,
    /// A file, relative to the site file.
    pub file: Option<PathBuf>,
    /// A credential that systemd gives the daemon (`LoadCredential=NAME:FILE`, systemd.exec(5)): the file of that name in
    /// `$CREDENTIALS_DIRECTORY`.
    pub credential: Option<String>,
    /// An environment variable of the daemon.
    pub env: Option<String>,
    /// The secret itself; for trying things out.
    pub value: Option<String>,
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretSource")
            .field("sealed", &self.sealed)
            .field("file", &self.file)
            .field("credential", &self.credential)
            .field("env", &self.env)
            .field("value", &self.value.as_ref().map(|_| "…"))
            .finish()
    }
}

/// The site's secrets by name.
#[derive(Debug, Default)]
pub struct Vault {
    secrets: RwLock<BTreeMap<String, SecretBytes>>,
}

impl Vault {
    /// Reads every secret; relative files are relative to `base`, the site file's folder. `key` is read only where
    /// something is sealed.
    ///
    /// # Errors
    /// The first secret that cannot be read, by name.
    pub fn load(
        sources: &BTreeMap<String, SecretSource>,
        base: &Path,
        key: &KeySource,
    ) -> Result<Self, VaultError> {
        match Self::read_all(sources, base, key) {
            // A key may have been changed between the reading of the keys and that of the secret.
            Err(VaultError::UnknownKey { .. }) => Self::read_all(sources, base, key),
            read => read,
        }
    }

    fn read_all(
        sources: &BTreeMap<String, SecretSource>,
        base: &Path,
        key: &KeySource,
    ) -> Result<Self, VaultError> {
        let mut secrets = BTreeMap::new();
        let is_sealed = sources.values().any(|source| source.sealed.is_some());
        let keys = is_sealed.then(|| Keyring::load(key)).transpose()?;
        for (name, source) in sources {
            if is_reserved(name) {
                return Err(VaultError::ReservedName { name: name.clone() });
            }
            secrets.insert(name.clone(), read(name, source, base, keys.as_ref())?);
        }
        Ok(Self { secrets: RwLock::new(secrets) })
    }

    /// The secret so named.
    pub fn open(&self, name: &str) -> Option<SecretBytes> {
        self.held().get(name).cloned()
    }

    /// All names; never the secrets.
    pub fn names(&self) -> Vec<String> {
        self.held().keys().cloned().collect()
    }

    /// Serves the secrets of `new` from now on: what was opened before keeps what it has.
    pub fn replace(&self, new: Self) {
        let new = new.secrets.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Whether both have the same names with the same secrets.
    pub fn holds_the_same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.held(), other.held());
        ours.len() == theirs.len()
            && ours
                .iter()
                .all(|(name, secret)| theirs.get(name).is_some_and(|other| other.reveal() == secret.reveal()))
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<String, SecretBytes>> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names that the host gives to handles it makes during a call.
pub fn is_reserved(name: &str) -> bool {
    name == "session"
        || name == "local-token"
        || ["login.", "captured.", "signed."].iter().any(|prefix| name.starts_with(prefix))
}

/// The file of a credential that systemd gave the daemon.
pub(crate) fn credential_file(credential: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    let is_name = !credential.is_empty() && !credential.contains('/') && !credential.starts_with('.');
    let file = Path::new(&folder).join(credential);
    (is_name && file.exists()).then_some(file)
}

fn read(
    name: &str,
    source: &SecretSource,
    base: &Path,
    keys: Option<&Keyring>,
) -> Result<SecretBytes, VaultError> {
    let SecretSource { sealed, file, credential, env, value } = source;
    let given = [sealed.is_some(), file.is_some(), credential.is_some(), env.is_some(), value.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(VaultError::AmbiguousSource { name: name.to_owned() });
    }
    if let (Some(sealed), Some(keys)) = (sealed, keys) {
        let text = read_private(&base.join(sealed))?;
        return keys.open(name, &text).map_err(|error| match error {
            VaultError::Unsealable => VaultError::Broken { name: name.to_owned() },
            other => other,
        });
    }
    match (file, credential, env, value) {
        (Some(file), None, None, None) => Ok(without_line_end(read_private(&base.join(file))?)),
        (None, Some(credential), None, None) => {
            let missing =
                || VaultError::MissingCredential { name: name.to_owned(), credential: credential.clone() };
            let file = credential_file(credential).ok_or_else(missing)?;
            // systemd's own are 0440, with a list that admits the service's user alone.
            Ok(without_line_end(read_closed_to(&file, 0o037)?))
        }
        (None, None, Some(variable), None) => {
            use std::os::unix::ffi::OsStringExt;
            std::env::var_os(variable).map(|value| SecretBytes::new(value.into_vec())).ok_or_else(|| {
                VaultError::MissingVariable { name: name.to_owned(), variable: variable.clone() }
            })
        }
        (None, None, None, Some(value)) => {
            tracing::warn!(
                secret = name,
                "a secret is written in the site file; move it to a file of mode 0600"
            );
            Ok(SecretBytes::new(value.clone().into_bytes()))
        }
        _ => Err(VaultError::AmbiguousSource { name: name.to_owned() }),
    }
}

fn without_line_end(mut bytes: Zeroizing<Vec<u8>>) -> SecretBytes {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    SecretBytes::new(std::mem::take(&mut *bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(sources: &BTreeMap<String, SecretSource>, base: &Path) -> Result<Vault, VaultError> {
        Vault::load(sources, base, &KeySource::File(base.join("seal.key")))
    }

    fn sources(name: &str, source: SecretSource) -> BTreeMap<String, SecretSource> {
        BTreeMap::from([(name.to_owned(), source)])
    }

    #[test]
    fn a_file_loses_one_line_end_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        std::fs::write(&path, "s p\n\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let source = SecretSource { file: Some("pw".into()), ..SecretSource::default() };
        let vault = load(&sources("admin", source), folder.path()).unwrap();
        assert_eq!(vault.open("admin").unwrap().reveal(), b"s p\n");
        assert!(vault.open("other").is_none());
    }

    #[test]
    fn two_sources_or_none_are_refused() {
        let both = SecretSource { env: Some("A".into()), value: Some("b".into()), ..SecretSource::default() };
        for source in [both, SecretSource::default()] {
            assert!(matches!(
                load(&sources("x", source), Path::new(".")),
                Err(VaultError::AmbiguousSource { .. })
            ));
        }
    }

    #[test]
    fn names_of_the_hosts_own_handles_cannot_be_taken() {
        for name in ["session", "local-token", "captured.token", "login.password", "signed.session"] {
            let source = SecretSource { value: Some("x".into()), ..SecretSource::default() };
            assert!(matches!(
                load(&sources(name, source), Path::new(".")),
                Err(VaultError::ReservedName { .. })
            ));
        }
    }

    #[test]
    fn neither_source_nor_vault_prints_a_secret() {
        let source = SecretSource { value: Some("hunter2".into()), ..SecretSource::default() };
        assert!(!format!("{source:?}").contains("hunter2"));
        let vault = load(&sources("x", source), Path::new(".")).unwrap();
        assert!(!format!("{vault:?}").contains("hunter2"));
    }

    #[test]
    fn a_sealed_secret_is_read_with_the_key_and_is_nothing_without() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeySource::File(folder.path().join("seal.key"));
        let sealed = Keyring::load_or_create(&key).unwrap().seal("admin", b"hunter2").unwrap();
        let path = folder.path().join("admin.sealed");
        std::fs::write(&path, sealed).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let source = SecretSource { sealed: Some("admin.sealed".into()), ..SecretSource::default() };
        let vault = load(&sources("admin", source.clone()), folder.path()).unwrap();
        assert_eq!(vault.open("admin").unwrap().reveal(), b"hunter2");
        let error = load(&sources("other", source.clone()), folder.path()).unwrap_err();
        assert!(matches!(&error, VaultError::Broken { name } if name == "other"), "{error}");
        std::fs::remove_file(folder.path().join("seal.key")).unwrap();
        assert!(matches!(load(&sources("admin", source.clone()), folder.path()), Err(VaultError::Io { .. })));
        Keyring::load_or_create(&key).unwrap();
        let error = load(&sources("admin", source), folder.path()).unwrap_err();
        assert!(matches!(error, VaultError::UnknownKey { .. }), "another key");
    }
}

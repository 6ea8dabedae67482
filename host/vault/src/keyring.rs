//! The keys that secrets are sealed with at rest: one that seals, and older ones that still open.
//!
//! A key file (or a credential of systemd) has a key of 64 hexadecimal digits a line. The first seals, all open. So a key
//! is changed while a site serves: put the new one in front, seal everything anew, take the old one out; whoever reads in
//! between can open both.
//!
//! A sealed secret is a line of text, `archipel-sealed-1 KEY-ID BASE64`, that opens under its own name alone.

use std::path::{Path, PathBuf};

use archipel_model::SecretBytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::VaultError;
use crate::key_file::{self, KeyBytes, read_closed_to, read_private};
use crate::sealer::Sealer;
use crate::source::credential_file;

/// Begins every sealed secret.
const MARK: &str = "archipel-sealed-1";

/// `[vault]` of the site file: where the key lies that secrets are sealed with. Neither = `keys/seal.key` in the data
/// directory, made at the first use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultKey {
    /// A file of mode 0600, relative to the site file.
    pub key_file: Option<PathBuf>,
    /// A credential that systemd gives the daemon (systemd.exec(5)); then no file of the site can open its secrets.
    pub key_credential: Option<String>,
}

/// Where a site's keyring is, once it is known where the site is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In this file.
    File(PathBuf),
    /// In this credential.
    Credential(String),
}

impl VaultKey {
    /// With paths made absolute.
    pub fn source(&self, base: &Path, data_dir: &Path) -> KeySource {
        match (&self.key_credential, &self.key_file) {
            (Some(credential), _) => KeySource::Credential(credential.clone()),
            (None, Some(file)) => KeySource::File(base.join(file)),
            (None, None) => KeySource::File(data_dir.join("keys").join("seal.key")),
        }
    }
}

/// A key with its name.
struct Key {
    id: String,
    sealer: Sealer,
}

impl Key {
    fn new(bytes: &KeyBytes) -> Self {
        let whole = Zeroizing::new([b"archipel sealing key".as_slice(), bytes.as_slice()].concat());
        let digest = Sha256::digest(&*whole);
        Self { id: hex::encode(digest.get(..8).unwrap_or_default()), sealer: Sealer::from_key(**bytes) }
    }
}

/// The keys that there are.
pub struct Keyring {
    /// The one that seals, and those that open besides.
    first: Key,
    older: Vec<Key>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({}, and {} older)", self.first.id, self.older.len())
    }
}

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// There is no file or credential, others may read it, or it is no key.
    pub fn load(source: &KeySource) -> Result<Self, VaultError> {
        let (path, text) = match source {
            KeySource::File(path) => (path.clone(), read_private(path)?),
            KeySource::Credential(name) => {
                let missing = || VaultError::NoKeyCredential { credential: name.clone() };
                let path = credential_file(name).ok_or_else(missing)?;
                let text = read_closed_to(&path, 0o037)?;
                (path, text)
            }
        };
        Self::parse(&text).ok_or(VaultError::BadKey { path })
    }

    /// The same; a file that is not there is made with a new key.
    ///
    /// # Errors
    /// As [`Keyring::load`].
    pub fn load_or_create(source: &KeySource) -> Result<Self, VaultError> {
        if let KeySource::File(path) = source {
            key_file::load_or_create(path)?;
        }
        Self::load(source)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut keys = key_file::parse(text)?.iter().map(Key::new).collect::<Vec<_>>().into_iter();
        Some(Self { first: keys.next()?, older: keys.collect() })
    }

    /// The name of the key that seals; says nothing about the key.
    pub fn id(&self) -> &str {
        &self.first.id
    }

    /// Whether a change of keys was begun and not ended: older ones still open what they sealed.
    pub fn has_older(&self) -> bool {
        !self.older.is_empty()
    }

    /// Puts a new key in front of those in a file, which goes on opening what they sealed.
    ///
    /// # Errors
    /// The file cannot be read or written, or has too many keys already.
    pub fn rotate(path: &Path) -> Result<Self, VaultError> {
        key_file::put_in_front(path)?;
        Self::load(&KeySource::File(path.to_owned()))
    }

    /// Leaves only the key that seals in a file.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn forget_older(path: &Path) -> Result<Self, VaultError> {
        key_file::keep_first(path)?;
        Self::load(&KeySource::File(path.to_owned()))
    }

    /// Seals a secret for its name.
    ///
    /// # Errors
    /// `SealFailed`.
    pub fn seal(&self, name: &str, bytes: &[u8]) -> Result<String, VaultError> {
        let sealed = self.first.sealer.seal(&context(name), bytes)?;
        Ok(format!("{MARK} {} {}\n", self.first.id, STANDARD.encode(sealed)))
    }

    /// Opens what was sealed for this name, by whichever key it was.
    ///
    /// # Errors
    /// `NotSealed` for another text, `UnknownKey` for a key that is not here, `Unsealable`.
    pub fn open(&self, name: &str, text: &[u8]) -> Result<SecretBytes, VaultError> {
        let (id, sealed) = parts(text).ok_or_else(|| VaultError::NotSealed { name: name.to_owned() })?;
        let key = std::iter::once(&self.first).chain(&self.older).find(|key| key.id == id);
        let key = key.ok_or_else(|| VaultError::UnknownKey { name: name.to_owned(), key: id.to_owned() })?;
        key.sealer.open(&context(name), &sealed)
    }
}

/// Seals a secret into its file, in the place of what is there: whole or not at all.
///
/// # Errors
/// `SealFailed`, or the file cannot be written.
pub fn seal_into(keys: &Keyring, name: &str, bytes: &[u8], file: &Path) -> Result<(), VaultError> {
    key_file::replace(file, keys.seal(name, bytes)?.as_bytes())
}

/// The key that sealed a file; `None` for a file that is not sealed.
///
/// # Errors
/// The file cannot be read, or others may read it.
pub fn sealed_with(file: &Path) -> Result<Option<String>, VaultError> {
    Ok(sealed_by(&read_private(file)?))
}

/// Opens a sealed file.
///
/// # Errors
/// As [`Keyring::open`], or the file cannot be read.
pub fn open_from(keys: &Keyring, name: &str, file: &Path) -> Result<SecretBytes, VaultError> {
    keys.open(name, &read_private(file)?)
}

fn sealed_by(text: &[u8]) -> Option<String> {
    parts(text).map(|(id, _)| id.to_owned())
}

fn parts(text: &[u8]) -> Option<(&str, Vec<u8>)> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let (mark, id, sealed, end) = (words.next()?, words.next()?, words.next()?, words.next());
    let sealed = STANDARD.decode(sealed).ok()?;
    (mark == MARK && end.is_none()).then_some((id, sealed))
}

fn context(name: &str) -> String {
    format!("secret:{name}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        (folder, path)
    }

    #[test]
    fn a_sealed_secret_opens_under_its_own_name_alone() {
        let (_folder, path) = fresh();
        let keys = Keyring::load_or_create(&KeySource::File(path.clone())).unwrap();
        let text = keys.seal("admin", b"hunter2").unwrap();
        assert!(!text.contains("hunter2") && text.starts_with("archipel-sealed-1 "));
        assert_eq!(keys.open("admin", text.as_bytes()).unwrap().reveal(), b"hunter2");
        assert!(matches!(keys.open("other", text.as_bytes()), Err(VaultError::Unsealable)));
        assert!(matches!(keys.open("admin", b"hunter2"), Err(VaultError::NotSealed { .. })));
        assert_eq!(sealed_by(text.as_bytes()).as_deref(), Some(keys.id()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Keyring::load(&KeySource::File(path)).unwrap();
        assert_eq!(again.id(), keys.id(), "kept");
    }

    #[test]
    fn a_key_is_changed_without_a_moment_at_which_something_cannot_be_opened() {
        let (_folder, path) = fresh();
        let old = Keyring::load_or_create(&KeySource::File(path.clone())).unwrap();
        let before = old.seal("admin", b"hunter2").unwrap();
        let both = Keyring::rotate(&path).unwrap();
        assert_ne!(both.id(), old.id());
        assert!(both.has_older() && !old.has_older());
        let after = both.seal("admin", b"hunter2").unwrap();
        for text in [&before, &after] {
            assert_eq!(both.open("admin", text.as_bytes()).unwrap().reveal(), b"hunter2");
        }
        let new = Keyring::forget_older(&path).unwrap();
        assert_eq!(new.open("admin", after.as_bytes()).unwrap().reveal(), b"hunter2");
        let refused = new.open("admin", before.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(old.id()) && refused.contains("admin"), "{refused}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn a_damaged_keyring_is_refused_by_name() {
        let (_folder, path) = fresh();
        for wrong in
            ["", "abc\n", &format!("{}\nzz\n", "ab".repeat(32)), &format!("{}\n", "ab".repeat(32)).repeat(9)]
        {
            std::fs::write(&path, wrong).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(Keyring::load(&KeySource::File(path.clone())), Err(VaultError::BadKey { .. })),
                "{wrong}"
            );
        }
    }
}

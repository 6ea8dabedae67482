//! Files that hold secrets: read only when nobody else can, written so that nobody else ever could.
//!
//! A key is 32 random bytes as 64 hexadecimal digits, so that an editor or a backup does not harm it. A file has one a line:
//! the first is the one in use, and the others are older.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rand::RngCore;
use zeroize::Zeroizing;

use crate::VaultError;

/// Larger files are no secrets; bounds what a wrong path can make us read.
pub(crate) const MAX_SECRET_FILE: u64 = 256 * 1024;

/// Keys of one file: more than a change of keys needs, and few enough to try.
const MOST_KEYS: usize = 8;

/// A key, wiped when it is dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

/// Reads a file that must belong to its owner alone (0600, 0400 or narrower).
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    read_closed_to(path, 0o077)
}

/// Reads a file whose mode has none of these bits.
pub(crate) fn read_closed_to(path: &Path, bits: u32) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let file = File::open(path).map_err(VaultError::io(path))?;
    let meta = file.metadata().map_err(VaultError::io(path))?;
    if !meta.is_file() {
        return Err(VaultError::NotAFile { path: path.to_owned() });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & bits != 0 {
        return Err(VaultError::LooseMode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_SECRET_FILE + 1).read_to_end(&mut bytes).map_err(VaultError::io(path))?;
    if bytes.len() as u64 > MAX_SECRET_FILE {
        return Err(VaultError::TooLarge { path: path.to_owned(), limit: MAX_SECRET_FILE });
    }
    Ok(bytes)
}

/// The keys in this file, the one in use first; one is made, durable and 0600, where there is no file yet.
pub(crate) fn load_or_create(path: &Path) -> Result<Vec<KeyBytes>, VaultError> {
    match load(path) {
        Err(VaultError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            create(path).map(|key| vec![key])
        }
        done => done,
    }
}

/// The keys in this file.
pub(crate) fn load(path: &Path) -> Result<Vec<KeyBytes>, VaultError> {
    parse(&read_private(path)?).ok_or_else(|| VaultError::BadKey { path: path.to_owned() })
}

/// Puts a new key in front of those in a file: whole or not at all.
pub(crate) fn put_in_front(path: &Path) -> Result<(), VaultError> {
    let mut keys = load(path)?;
    if keys.len() >= MOST_KEYS {
        return Err(VaultError::TooManyKeys { path: path.to_owned(), most: MOST_KEYS });
    }
    keys.insert(0, random());
    write(path, &keys)
}

/// Leaves the key in use alone in a file.
pub(crate) fn keep_first(path: &Path) -> Result<(), VaultError> {
    let mut keys = load(path)?;
    keys.truncate(1);
    write(path, &keys)
}

fn write(path: &Path, keys: &[KeyBytes]) -> Result<(), VaultError> {
    let mut text = Zeroizing::new(String::with_capacity(65 * keys.len()));
    for key in keys {
        text.push_str(&Zeroizing::new(hex::encode(key.as_slice())));
        text.push('\n');
    }
    replace(path, text.as_bytes())
}

/// 32 random bytes.
fn random() -> KeyBytes {
    let mut key = Zeroizing::new([0; 32]);
    rand::rngs::OsRng.fill_bytes(key.as_mut_slice());
    key
}

/// Writes a file that nobody else can read in the place of what is there: whole or not at all.
pub(crate) fn replace(path: &Path, text: &[u8]) -> Result<(), VaultError> {
    let folder = folder_of(path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(VaultError::io(folder))?;
    let draft = draft_of(path);
    let written = write_draft(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // The draft is not needed; it may not even be there.
        let _ = std::fs::remove_file(&draft);
    }
    written.map_err(VaultError::io(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn draft_of(path: &Path) -> std::path::PathBuf {
    path.with_extension(format!("new-{:08x}", rand::rngs::OsRng.next_u32()))
}

fn write_draft(draft: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text).and_then(|()| file.sync_all())
}

/// The keys of a text; `None` where it has none, too many, or something else.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<KeyBytes>> {
    let mut keys = Vec::new();
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(line, key.as_mut_slice()).ok()?;
        keys.push(key);
    }
    (1..=MOST_KEYS).contains(&keys.len()).then_some(keys)
}

/// Writes beside the final name and links it in, so that a crash leaves a whole key or none, and two starts at the
/// same time end with one key.
fn create(path: &Path) -> Result<KeyBytes, VaultError> {
    let folder = folder_of(path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(VaultError::io(folder))?;
    let key = random();
    let draft = draft_of(path);
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(key.as_slice()))));
    let written = write_draft(&draft, text.as_bytes())
        .and_then(|()| std::fs::hard_link(&draft, path))
        .and_then(|()| File::open(folder)?.sync_all());
    // The draft is not needed whichever way this went.
    let _ = std::fs::remove_file(&draft);
    match written {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            load(path)?.into_iter().next().ok_or_else(|| VaultError::BadKey { path: path.to_owned() })
        }
        Err(error) => Err(VaultError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys").join("seal.key");
        let first = load_or_create(&path).unwrap();
        let second = load_or_create(&path).unwrap();
        assert_eq!(first, second);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn a_new_key_stands_in_front_until_the_older_ones_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let first = load_or_create(&path).unwrap();
        put_in_front(&path).unwrap();
        let both = load(&path).unwrap();
        assert_eq!((both.len(), &both[1]), (2, &first[0]));
        // What a crash left of the next change is nobody's.
        std::fs::write(draft_of(&path), "0123").unwrap();
        assert_eq!(load(&path).unwrap(), both);
        for _ in 2..MOST_KEYS {
            put_in_front(&path).unwrap();
        }
        let full = load(&path).unwrap();
        assert!(matches!(put_in_front(&path), Err(VaultError::TooManyKeys { .. })), "none is pushed out");
        assert_eq!(load(&path).unwrap(), full);
        keep_first(&path).unwrap();
        assert_eq!(load(&path).unwrap(), full[..1]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_by_name_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        std::fs::write(&path, "abc").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(matches!(load_or_create(&path), Err(VaultError::BadKey { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }
}

//! The plugins' folder, opened once: everything after that is relative to it, so nobody can swap it underneath.
//!
//! Only `NAME.wasm` is looked at, and the signature beside it, `NAME.wasm.minisig`; other files are none of ours. A file is read once, and what was read is what is
//! hashed, checked and compiled.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use archipel_bindings::latest::exports::archipel::plugin::lifecycle::File;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt};

use crate::config::is_plugin_name;
use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;
use crate::signatures::MAX_BYTES;

/// Bytes of all files of granted folders that one plugin gets.
const FILES_BYTES: u64 = 16 << 20;
/// Files of granted folders that one plugin gets.
const FILES_COUNT: usize = 1_000;
/// How deep granted folders are read.
const FILES_DEPTH: usize = 4;

/// Modes with which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// What tells whether a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    component: Looks,
    signature: Option<Looks>,
}

/// One file as the folder shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    size: u64,
    mtime: i64,
    mtime_nsec: i64,
    inode: u64,
}

impl Looks {
    fn of(meta: &Metadata) -> Self {
        Self { size: meta.size(), mtime: meta.mtime(), mtime_nsec: meta.mtime_nsec(), inode: meta.ino() }
    }

    fn is_older_than(&self, age: Duration) -> bool {
        let written = u64::try_from(self.mtime).ok().map(|seconds| {
            SystemTime::UNIX_EPOCH
                + Duration::from_secs(seconds)
                + Duration::from_nanos(self.mtime_nsec.unsigned_abs())
        });
        written.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|elapsed| elapsed >= age)
    }
}

impl Stamp {
    /// Whether both were last written at least so long ago.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.component.is_older_than(age) && self.signature.is_none_or(|looks| looks.is_older_than(age))
    }
}

/// A file in the folder.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The plugin's name; the file's name where that is none.
    pub(crate) name: String,
    /// What tells whether it changed, or why it is not looked at.
    pub(crate) stamp: Result<Stamp, Refusal>,
}

/// The open folder.
#[derive(Debug)]
pub(crate) struct PluginFolder {
    dir: Dir,
    path: PathBuf,
}

impl PluginFolder {
    /// Opens it, making it if need be.
    ///
    /// # Errors
    /// Others may write it: whoever can is the site's administrator.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let folder = Self { dir, path: path.to_owned() };
        folder.check_mode()?;
        Ok(folder)
    }

    fn check_mode(&self) -> std::io::Result<()> {
        let mode = self.dir.dir_metadata()?.mode() & 0o777;
        if mode & OTHERS_WRITE == 0 {
            return Ok(());
        }
        Err(std::io::Error::new(
            ErrorKind::PermissionDenied,
            format!("others may drop plugins there (mode {mode:o}); take that right away with chmod go-w"),
        ))
    }

    /// Where it is, for the watcher and for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every `*.wasm` in it.
    pub(crate) fn list(&self) -> std::io::Result<Vec<Seen>> {
        self.check_mode()?;
        let mut seen = Vec::new();
        for entry in self.dir.entries()? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let Some(name) = file.strip_suffix(".wasm") else { continue };
            if name.starts_with('.') {
                continue;
            }
            if !is_plugin_name(name) {
                let shown: String = file.chars().filter(|c| !c.is_control()).take(80).collect();
                seen.push(Seen { name: shown.clone(), stamp: Err(Refusal::Name(shown)) });
                continue;
            }
            // Gone again between listing and looking: not there.
            if let Ok(meta) = self.dir.symlink_metadata(&file) {
                seen.push(Seen {
                    name: name.to_owned(),
                    stamp: acceptable(&meta).map(|()| self.stamp(name, &meta)),
                });
            }
        }
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(seen)
    }

    fn stamp(&self, name: &str, component: &Metadata) -> Stamp {
        let signature = self.dir.symlink_metadata(signature_name(name)).ok();
        Stamp { component: Looks::of(component), signature: signature.as_ref().map(Looks::of) }
    }

    /// The signature beside a plugin; an empty text where what lies there is none.
    fn signature(&self, name: &str) -> Option<String> {
        let file_name = signature_name(name);
        let meta = self.dir.symlink_metadata(&file_name).ok()?;
        let mut text = String::new();
        if meta.is_file()
            && let Ok(file) = self.dir.open(&file_name)
            && file.take(MAX_BYTES).read_to_string(&mut text).is_err()
        {
            text.clear();
        }
        Some(text)
    }

    /// Reads a plugin's bytes and its signature, and what they looked like then.
    pub(crate) fn read(&self, name: &str, limits: &RuntimeLimits) -> Result<Dropped, Refusal> {
        let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
        let file_name = format!("{name}.wasm");
        let before = self.dir.symlink_metadata(&file_name).map_err(unreadable)?;
        acceptable(&before)?;
        let file = self.dir.open(&file_name).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        // The same file that was looked at: not a link put in its place meanwhile.
        if (meta.dev(), meta.ino()) != (before.dev(), before.ino()) {
            return Err(Refusal::NotAFile);
        }
        let most = limits.file_mib.saturating_mul(1 << 20);
        if meta.size() > most {
            return Err(Refusal::TooLarge { size: meta.size(), limit_mib: limits.file_mib });
        }
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        let stamp = self.stamp(name, &meta);
        Ok(Dropped { bytes, signature: self.signature(name), stamp })
    }
}

/// What was read of a plugin.
pub(crate) struct Dropped {
    /// The component.
    pub(crate) bytes: Vec<u8>,
    /// The text of its signature, where there is one.
    pub(crate) signature: Option<String>,
    /// What both looked like.
    pub(crate) stamp: Stamp,
}

fn signature_name(plugin: &str) -> String {
    format!("{plugin}.wasm.minisig")
}

fn acceptable(meta: &Metadata) -> Result<(), Refusal> {
    if !meta.is_file() {
        Err(Refusal::NotAFile)
    } else if meta.mode() & OTHERS_WRITE != 0 {
        Err(Refusal::Writable(meta.mode() & 0o777))
    } else if meta.nlink() > 1 {
        Err(Refusal::Linked(meta.nlink()))
    } else {
        Ok(())
    }
}

/// The files of the granted folders below `root`, for `lifecycle.init`; links are not followed.
pub(crate) fn granted_files(root: &Path, folders: &[String]) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    if folders.is_empty() {
        return Ok(files);
    }
    let root = Dir::open_ambient_dir(root, ambient_authority())
        .map_err(|error| format!("{}: {error}", root.display()))?;
    let mut left = FILES_BYTES;
    for folder in folders {
        let dir = root.open_dir(folder).map_err(|error| format!("folder {folder:?}: {error}"))?;
        walk(&dir, folder, FILES_DEPTH, &mut left, &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Dir, path: &str, depth: usize, left: &mut u64, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("folder {path:?}: {error}");
    for entry in dir.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        let inner = format!("{path}/{name}");
        if kind.is_dir() && depth > 1 {
            walk(&dir.open_dir(&name).map_err(failed)?, &inner, depth - 1, left, files)?;
        } else if kind.is_file() && !name.starts_with('.') {
            let mut contents = Vec::new();
            let file = dir.open(&name).map_err(failed)?;
            let mode = file.metadata().map_err(failed)?.mode() & 0o777;
            if mode & OTHERS_WRITE != 0 {
                return Err(format!(
                    "others may write {inner:?} (mode {mode:o}); take that right away with chmod go-w"
                ));
            }
            file.take(left.saturating_add(1)).read_to_end(&mut contents).map_err(failed)?;
            *left = left.checked_sub(u64::try_from(contents.len()).unwrap_or(u64::MAX)).ok_or_else(|| {
                format!("folder {path:?}: more than {} MiB; keep policies small", FILES_BYTES >> 20)
            })?;
            files.push(File { path: inner, contents });
            if files.len() > FILES_COUNT {
                return Err(format!("folder {path:?}: more than {FILES_COUNT} files"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_plain_files_with_a_plugins_name_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let folder = PluginFolder::open(temp.path()).unwrap();
        let write = |name: &str| std::fs::write(temp.path().join(name), b"bytes").unwrap();
        for name in [
            "good.wasm",
            "Bad.wasm",
            "under_score.wasm",
            "notes.txt",
            "half.wasm.tmp",
            ".hidden.wasm",
            "open.wasm",
            "shared.wasm",
            "twice.wasm",
        ] {
            write(name);
        }
        std::fs::set_permissions(temp.path().join("open.wasm"), std::fs::Permissions::from_mode(0o666))
            .unwrap();
        for name in ["good.wasm", "Bad.wasm", "under_score.wasm", "twice.wasm"] {
            std::fs::set_permissions(temp.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::fs::set_permissions(temp.path().join("shared.wasm"), std::fs::Permissions::from_mode(0o664))
            .unwrap();
        std::fs::hard_link(temp.path().join("twice.wasm"), temp.path().join("other-name")).unwrap();
        symlink(temp.path().join("good.wasm"), temp.path().join("link.wasm")).unwrap();
        std::fs::create_dir(temp.path().join("folder.wasm")).unwrap();

        let seen: Vec<(String, Option<Refusal>)> =
            folder.list().unwrap().into_iter().map(|seen| (seen.name, seen.stamp.err())).collect();
        let expected = [
            ("Bad.wasm", Some(Refusal::Name("Bad.wasm".into()))),
            ("folder", Some(Refusal::NotAFile)),
            ("good", None),
            ("link", Some(Refusal::NotAFile)),
            ("open", Some(Refusal::Writable(0o666))),
            ("shared", Some(Refusal::Writable(0o664))),
            ("twice", Some(Refusal::Linked(2))),
            ("under_score.wasm", Some(Refusal::Name("under_score.wasm".into()))),
        ];
        assert_eq!(seen, expected.map(|(name, refusal)| (name.to_owned(), refusal)));
        assert_eq!(folder.read("good", &RuntimeLimits::default()).unwrap().bytes, b"bytes");
        assert_eq!(folder.read("link", &RuntimeLimits::default()).err(), Some(Refusal::NotAFile));
        let small = RuntimeLimits { file_mib: 0, ..RuntimeLimits::default() };
        assert!(matches!(folder.read("good", &small), Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn a_folder_that_others_may_write_is_nobodys() {
        let temp = tempfile::tempdir().unwrap();
        let folder = PluginFolder::open(temp.path()).unwrap();
        for mode in [0o775, 0o707] {
            std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = PluginFolder::open(temp.path()).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "others may drop plugins there (mode {mode:o}); take that right away with chmod go-w"
                )
            );
            assert!(folder.list().is_err(), "nor after the start");
        }
    }

    #[test]
    fn granted_folders_are_read_and_nothing_beside_them() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("policies/inner")).unwrap();
        std::fs::write(temp.path().join("policies/a.rego"), b"a").unwrap();
        std::fs::write(temp.path().join("policies/inner/b.rego"), b"b").unwrap();
        std::fs::write(temp.path().join("secret"), b"s").unwrap();
        symlink(temp.path().join("secret"), temp.path().join("policies/link")).unwrap();
        let files = granted_files(temp.path(), &["policies".into()]).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["policies/a.rego", "policies/inner/b.rego"]);
        assert!(granted_files(temp.path(), &["../".into()]).is_err());
    }
}

//! Opening the files, and saying clearly why they cannot be.
//!
//! Two small files of ours lie beside sled's: `holder` says who has the store open (the lock itself is sled's, on its
//! log), and `mark` says how far the store had come when last looked at, so that a log that was cut is refused: sled
//! would open it and silently go on from an older state.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::durable::Durable;
use super::guard::guarded;

/// The one tree.
pub(super) const TREE: &str = "archipel";
/// The last commit's stamp; below every key of the collections.
pub(super) const STAMP: &[u8] = b"\0stamp";
const HOLDER: &str = "holder";
const MARK: &str = "mark";

/// What the system says when the disk is at fault and the files are not; sled passes it on as text.
const MACHINE: [&str; 5] =
    ["Permission denied", "Read-only file system", "No space left", "Not a directory", "Too many open files"];

/// What sled says when its log is locked.
const LOCKED: &str = "could not acquire lock";
/// sled's threads may hold its log for a moment after it was closed. Nobody else does: our own lock is held.
const LINGERS: Duration = Duration::from_secs(5);

/// How the engine uses the machine.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Bytes of sled's page cache (64 MiB). Bounds memory.
    pub page_cache_bytes: u64,
    /// Bytes of the cache of values in front of it (32 MiB). Bounds memory; what is in it is read without a hop.
    pub value_cache_bytes: u64,
    /// Threads that read (2). One long reading must not hold up a short one.
    pub readers: usize,
    /// Commits that share one flush at most (1024). Bounds how long the first of them waits.
    pub group: usize,
    /// Commits are refused while the disk has less free (64 MiB), so that sled never meets a full disk, reads go on,
    /// and writes go on by themselves when there is room again. Bytes.
    pub min_free_bytes: u64,
    /// Bytes of what writers overwrite that are kept for one snapshot (128 MiB). Bounds memory: a backup whose reader
    /// takes too long, or that meets too many writes, is given up.
    pub snapshot_bytes: usize,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            page_cache_bytes: 64 << 20,
            value_cache_bytes: 32 << 20,
            readers: 2,
            group: 1024,
            min_free_bytes: 64 << 20,
            snapshot_bytes: 128 << 20,
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {} is held by {holder}; stop that process, or ask it over its socket instead", dir.display())]
    InUse {
        /// Where.
        dir: PathBuf,
        /// Who, as far as is known.
        holder: String,
    },
    /// It cannot be read.
    #[error(
        "the store in {} is damaged: {reason}. Move the folder away and restore a backup in its \
         place (archipel store import), or start empty and remove the site's instances from its clouds by hand",
        dir.display()
    )]
    Damaged {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It ends before a commit that it had.
    #[error(
        "the store in {} was cut: it ends at commit {found}, and had come to {known}. Restore a \
         backup (archipel store import), or, if you put an older copy there on purpose, remove its file mark",
        dir.display()
    )]
    Cut {
        /// Where.
        dir: PathBuf,
        /// Its last commit.
        found: u64,
        /// The last commit that was durable.
        known: u64,
    },
    /// There is none, where one was to be looked at.
    #[error("there is no store in {}; `archipel serve` makes one, `archipel store import` fills one", dir.display())]
    Missing {
        /// Where.
        dir: PathBuf,
    },
    /// The folder cannot be used.
    #[error("the store's folder {} cannot be used: {reason}; check that it is a folder and that it may be written", dir.display())]
    Folder {
        /// Where.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn folder(dir: &Path, error: &io::Error) -> Self {
        Self::Folder { dir: dir.to_owned(), reason: error.to_string() }
    }
}

/// The open files.
pub(super) struct Handles {
    pub(super) tree: sled::Tree,
    /// Only the writer locks it.
    pub(super) durable: std::sync::Mutex<Durable>,
    /// Kept open: the tree alone does not hold sled's lock and flusher.
    _db: sled::Db,
}

/// How sled is used.
pub(super) fn config(dir: &Path, options: &SledOptions) -> sled::Config {
    sled::Config::new()
        .path(dir)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(options.page_cache_bytes)
        .flush_every_ms(Some(500))
}

/// Whether there is a store in `dir`.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join("db").exists()
}

/// Opens or makes the store; also says the stamp of its last commit.
pub(super) fn open(dir: &Path, options: &SledOptions) -> Result<(Handles, u64), OpenError> {
    let folder = |error: io::Error| OpenError::folder(dir, &error);
    std::fs::create_dir_all(dir).map_err(folder)?;
    let damaged = |reason: String| OpenError::Damaged { dir: dir.to_owned(), reason };
    let config = config(dir, options);
    let open = || {
        guarded(|| {
            let db = config.open()?;
            let tree = db.open_tree(TREE)?;
            let stamp = tree.get(STAMP)?;
            Ok((db, tree, stamp))
        })
    };
    let mut opened = open();
    let begun = Instant::now();
    while begun.elapsed() < LINGERS && opened.as_ref().is_err_and(|reason| reason.contains(LOCKED)) {
        std::thread::sleep(Duration::from_millis(20));
        opened = open();
    }
    let (db, tree, stamp) = opened.map_err(|reason| match reason.contains(LOCKED) {
        true => OpenError::InUse { dir: dir.to_owned(), holder: holder(dir) },
        false if MACHINE.iter().any(|words| reason.contains(words)) => {
            OpenError::Folder { dir: dir.to_owned(), reason }
        }
        false => damaged(reason),
    })?;
    let found = match stamp {
        None => 0,
        Some(bytes) => <[u8; 8]>::try_from(bytes.as_ref())
            .map(u64::from_be_bytes)
            .map_err(|_| damaged("the number of its last commit is not a number".to_owned()))?,
    };
    let known = read_mark(dir).map_err(folder)?;
    if known > found {
        return Err(OpenError::Cut { dir: dir.to_owned(), found, known });
    }
    let log = OpenOptions::new().read(true).write(true).open(dir.join("db")).map_err(folder)?;
    let handles =
        Handles { tree, durable: std::sync::Mutex::new(Durable::new(log, dir.join("blobs"))), _db: db };
    write_holder(dir).map_err(folder)?;
    Ok((handles, found))
}

/// Bytes that the disk of `dir` still has for us; `None` when it does not say.
fn free_bytes(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Why nothing more may be written; `None` while the disk has room. sled never returns from some writes to a full one.
pub(super) fn full(dir: &Path, least: u64) -> Option<String> {
    let free = free_bytes(dir).filter(|free| *free < least)?;
    Some(format!("its disk has {} MiB left and needs {}; make room", free >> 20, least >> 20))
}

/// Notes that everything up to `stamp` is durable. Not synced: it may be behind, never ahead.
pub(super) fn write_mark(dir: &Path, stamp: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(dir.join(MARK))?;
    file.write_all(format!("{stamp:020}\n").as_bytes())
}

/// A mark that cannot be read knows nothing.
fn read_mark(dir: &Path) -> io::Result<u64> {
    match std::fs::read_to_string(dir.join(MARK)) {
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(0),
        Err(error) => Err(error),
    }
}

fn write_holder(dir: &Path) -> io::Result<()> {
    let program = std::env::current_exe().map_or_else(|_| "?".to_owned(), |path| path.display().to_string());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since = archipel_model::Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0));
    std::fs::write(dir.join(HOLDER), format!("process {} ({program}) since {since}\n", std::process::id()))
}

/// Removes the note of who holds it.
pub(super) fn remove_holder(dir: &Path) {
    // It is information only: a note that stays behind is overwritten by the next holder.
    let _ = std::fs::remove_file(dir.join(HOLDER));
}

pub(super) fn holder(dir: &Path) -> String {
    let mut text = String::new();
    let read = File::open(dir.join(HOLDER)).and_then(|file| file.take(1024).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

//! From "written" to "survives a power cut".

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A file system's clock may tick this coarsely: a folder changed within it may have changed again unseen.
const COARSE: Duration = Duration::from_secs(1);

/// Syncs the files of one store.
pub(super) struct Durable {
    log: File,
    large: PathBuf,
    synced: BTreeSet<OsString>,
    seen: Option<SystemTime>,
}

impl Durable {
    /// `log` is sled's log file, `large` its folder of large values, each a file.
    pub(super) fn new(log: File, large: PathBuf) -> Self {
        Self { log, large, synced: BTreeSet::new(), seen: None }
    }

    /// After this, all that sled has flushed survives a power cut: the log's data, its size and the disk's own cache.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.sync_large()?;
        self.log.sync_data()
    }

    /// Bytes of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log.metadata().map_or(0, |metadata| metadata.len())
    }

    fn sync_large(&mut self) -> io::Result<()> {
        let changed = match std::fs::metadata(&self.large).and_then(|metadata| metadata.modified()) {
            Ok(changed) => changed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let settled = changed.elapsed().is_ok_and(|ago| ago > COARSE);
        if settled && self.seen == Some(changed) {
            return Ok(());
        }
        let mut present = BTreeSet::new();
        let mut any = false;
        for entry in std::fs::read_dir(&self.large)? {
            let entry = entry?;
            if !self.synced.contains(&entry.file_name()) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // Given back in the meantime.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                any = true;
            }
            present.insert(entry.file_name());
        }
        if any {
            File::open(&self.large)?.sync_all()?;
        }
        self.synced = present;
        self.seen = Some(changed);
        Ok(())
    }
}

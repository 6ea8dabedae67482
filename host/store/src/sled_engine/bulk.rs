//! A new store, filled in one go: for imports and compaction. No preconditions, no flush per commit; nobody reads it
//! before it is whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::SledOptions;
use super::durable::Durable;
use super::guard::guarded;
use super::open::{OpenError, STAMP, TREE, config, full, write_mark};
use crate::engine::{Key, after_prefix};

/// Entries that are written together.
const BATCH: usize = 500;
/// Bytes that are written together.
const BATCH_BYTES: usize = 1 << 20;

/// A store that is being filled.
pub(crate) struct Bulk {
    dir: PathBuf,
    db: sled::Db,
    tree: sled::Tree,
    batch: sled::Batch,
    entries: usize,
    bytes: usize,
    min_free_bytes: u64,
}

impl Bulk {
    /// In a folder that is not there yet.
    pub(crate) fn create(dir: &Path, options: &SledOptions) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError::Folder { dir: dir.to_owned(), reason };
        if std::fs::exists(dir).map_err(|error| OpenError::folder(dir, &error))? {
            return Err(failed("it is there already".to_owned()));
        }
        std::fs::create_dir_all(dir).map_err(|error| OpenError::folder(dir, &error))?;
        if let Some(full) = full(dir, options.min_free_bytes) {
            return Err(failed(full));
        }
        let config = config(dir, options);
        let opened = guarded(|| {
            let db = config.open()?;
            let tree = db.open_tree(TREE)?;
            Ok((db, tree))
        });
        let (db, tree) = opened.map_err(failed)?;
        Ok(Self {
            dir: dir.to_owned(),
            db,
            tree,
            batch: sled::Batch::default(),
            entries: 0,
            bytes: 0,
            min_free_bytes: options.min_free_bytes,
        })
    }

    fn failed(&self, reason: String) -> OpenError {
        OpenError::Folder { dir: self.dir.clone(), reason }
    }

    /// Sets a key.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), OpenError> {
        self.batch.insert(key, value);
        self.entries += 1;
        self.bytes += key.len() + value.len();
        if self.entries >= BATCH || self.bytes >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), OpenError> {
        if let Some(full) = full(&self.dir, self.min_free_bytes) {
            return Err(self.failed(full));
        }
        let batch = std::mem::take(&mut self.batch);
        (self.entries, self.bytes) = (0, 0);
        guarded(|| self.tree.apply_batch(batch)).map_err(|reason| self.failed(reason))
    }

    /// What was put under keys that begin with `prefix`, in order; `put` is not seen until the end.
    pub(crate) fn each(
        &mut self,
        prefix: &[u8],
        mut look: impl FnMut(&[u8], &[u8]) -> Vec<(Key, Vec<u8>)>,
    ) -> Result<(), OpenError> {
        self.write()?;
        let mut entries = self.tree.range(prefix.to_vec()..after_prefix(prefix));
        while let Some(entry) =
            guarded(|| entries.next().transpose()).map_err(|reason| self.failed(reason))?
        {
            for (key, value) in look(&entry.0, &entry.1) {
                self.put(&key, &value)?;
            }
        }
        Ok(())
    }

    /// Makes it durable under the number of its last commit.
    pub(crate) fn finish(mut self, stamp: u64) -> Result<(), OpenError> {
        self.batch.insert(STAMP, &stamp.to_be_bytes());
        self.write()?;
        let Self { dir, db, tree, .. } = self;
        let failed = |reason: String| OpenError::Folder { dir: dir.clone(), reason };
        guarded(|| tree.flush()).map_err(failed)?;
        guarded(|| {
            drop(tree);
            drop(db);
            Ok(())
        })
        .map_err(failed)?;
        let synced = || -> std::io::Result<()> {
            let log = File::options().read(true).write(true).open(dir.join("db"))?;
            Durable::new(log, dir.join("blobs")).sync()?;
            write_mark(&dir, stamp)?;
            for entry in std::fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_file() {
                    File::open(path)?.sync_all()?;
                }
            }
            File::open(&dir)?.sync_all()
        };
        synced().map_err(|error| failed(error.to_string()))
    }
}

//! One process at a time: a lock of our own on a file in the store's folder. sled locks its log too, but only while it has
//! it open; who replaces a whole store (import, compaction) must keep others out after sled has let go.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::open::{OpenError, holder};

const LOCK: &str = "lock";

/// The lock of a store; held until the last clone is gone.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    _file: Arc<File>,
}

impl Lock {
    /// Takes the lock of the store in `dir`, a folder that is there.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let file = File::options().create(true).append(true).open(dir.join(LOCK));
        let file = file.map_err(|error| OpenError::folder(dir, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: Arc::new(file) }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { dir: dir.to_owned(), holder: holder(dir) }),
            Err(error) => Err(OpenError::folder(dir, &error.into())),
        }
    }
}

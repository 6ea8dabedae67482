//! Makes the files smaller: sled has no such thing, so a new store is written beside, read back, held against the old one,
//! and takes its place in one step. The old one is removed after that.
//!
//! ```text
//! store ─(all keys)─▶ store.compacting ─(read back, compared)─▶ the two exchange names ─▶ store.compacting is removed
//! ```
//!
//! Killed at any point, `store` is the old one or the new one, whole; a `store.compacting` that stays behind is removed by
//! the next compaction. The lock of the old one is held until the end, so that no daemon starts on it in between.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::import::{beside, remove};
use super::survey::{Pages, disk_bytes};
use crate::engine::{Engine, EngineError};
use crate::sled_engine::{Bulk, Lock};
use crate::{OpenError, SledEngine, SledOptions};

/// What compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Keys.
    pub keys: u64,
    /// Bytes of all files before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// Why it was not done. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// It cannot be opened or written.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// It went away.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The new one is not the same: a defect, or a disk that lies.
    #[error("the new files do not hold what the old ones do; the old ones stay. Check the disk")]
    Differs,
    /// Files could not be moved.
    #[error("{0}")]
    Files(#[from] io::Error),
}

/// Compacts the store in `dir`, which nobody else may have open.
///
/// # Errors
/// See [`CompactError`].
pub async fn compact(dir: &Path, options: &SledOptions) -> Result<Compacted, CompactError> {
    let new = beside(dir, "compacting");
    if !SledEngine::is_there(dir) {
        return Err(OpenError::Missing { dir: dir.to_owned() }.into());
    }
    let lock = Lock::take(dir)?;
    let bytes_before = disk_bytes(dir)?;
    remove(&new)?;
    let engine = SledEngine::open_locked(dir, options.clone(), lock.clone())?;
    let copied = copy(&*engine, &new, options).await;
    let proven = match copied {
        Ok(copied) => prove(&new, options, &copied).await.map(|()| copied),
        Err(error) => Err(error),
    };
    engine.close().await;
    let copied = match proven {
        Ok(copied) => copied,
        Err(error) => {
            // What is left of it is in nobody's way: the next compaction removes it.
            let _ = remove(&new);
            return Err(error);
        }
    };
    rustix::fs::renameat_with(CWD, &new, CWD, dir, RenameFlags::EXCHANGE).map_err(|error| {
        let text = format!("{} and {} cannot exchange names: {error}", dir.display(), new.display());
        io::Error::other(text)
    })?;
    fs::File::open(dir.parent().unwrap_or(dir))?.sync_all()?;
    remove(&new)?;
    drop(lock);
    Ok(Compacted { keys: copied.keys, bytes_before, bytes_after: disk_bytes(dir)? })
}

/// What a store holds, in short.
#[derive(PartialEq, Eq)]
struct Whole {
    keys: u64,
    sha256: [u8; 32],
    stamp: u64,
}

async fn copy(engine: &dyn Engine, new: &Path, options: &SledOptions) -> Result<Whole, CompactError> {
    let mut bulk = Bulk::create(new, options)?;
    let whole = whole(engine, |key, value| bulk.put(key, value)).await?;
    bulk.finish(whole.stamp)?;
    Ok(whole)
}

async fn prove(new: &Path, options: &SledOptions, copied: &Whole) -> Result<(), CompactError> {
    let engine = SledEngine::open_existing(new, options.clone())?;
    let read = whole(&*engine, |_, _| Ok(())).await;
    engine.close().await;
    match read? == *copied {
        true => Ok(()),
        false => Err(CompactError::Differs),
    }
}

async fn whole(
    engine: &dyn Engine,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), OpenError>,
) -> Result<Whole, CompactError> {
    let stamp = engine.snapshot(&[]).await?.stamp();
    let mut sha256 = Sha256::new();
    let mut keys = 0;
    let mut pages = Pages::new();
    while let Some(page) = pages.next(engine).await? {
        for (key, value) in &page {
            for part in [key.as_slice(), value] {
                sha256.update((part.len() as u64).to_be_bytes());
                sha256.update(part);
            }
            each(key, value)?;
            keys += 1;
        }
    }
    Ok(Whole { keys, sha256: sha256.finalize().into(), stamp })
}

//! The engine over sled 0.34: one tree, one writer thread, a few reader threads, a cache of values in front.
//!
//! ```text
//! commit ─▶ queue ─▶ writer: take all that wait ─▶ check each against the state so far ─▶ one batch ─▶ one flush ─▶ answer all
//! get ─▶ cache of values ─▶ (miss) reader threads ─▶ sled
//! ```
//!
//! Why it is this way:
//! - **One writer.** sled flushes one caller at a time, so a flush for each of 64 clients serves them one after the
//!   other; a flush for all of them serves them together. It also makes preconditions trivial: there is one order.
//! - **No sled call on a tokio worker**: any of them may touch the disk. Reads that miss the cache go to reader threads
//!   of our own rather than to tokio's blocking pool, so that a burst of reads stays a few threads and the engine works
//!   under any executor. What was written or read lately is answered from the cache without a hop.
//! - **Its flush is not enough.** sled 0.34 flushes with `sync_file_range`, which neither waits for the disk's own cache
//!   nor writes the file's size: it survives `kill -9` and not a power cut. So the writer follows it with `fdatasync`
//!   (`durable`), and syncs the files of large values, which sled never does.
//! - **sled may panic** on a broken disk; every call is caught and becomes [`EngineError::Unavailable`]. After a failed
//!   write the engine lets go of the files and opens them again, so that what it shows is what the disk holds.
//! - `LowSpace` mode and a flusher every 500 ms, because only the flusher gives back space.

mod bulk;
mod durable;
mod gate;
mod guard;
mod lock;
mod open;
mod readers;
mod snapshot;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{
    Commit, CommitError, Committed, Engine, EngineError, EngineFigures, Entries, Key, Range, Snapshot,
};
use crate::judge::{sequence_of, within_limits};
use crate::watchers::Watchers;

pub(crate) use self::bulk::Bulk;
use self::gate::{Gate, Settled};
pub use self::guard::quiet_panics;
pub(crate) use self::lock::Lock;
use self::open::Handles;
pub use self::open::{OpenError, SledOptions};
use self::readers::Readers;
use self::snapshot::{SledSnapshot, Snapshots};
use self::writer::{Job, Writer};

/// Commits that may wait for the writer; more wait outside. Bounds memory when the disk is slow.
const QUEUE: usize = 4096;

/// sled behind the [`Engine`] trait.
pub struct SledEngine {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    readers: Arc<Readers>,
}

/// What writer, readers and callers share.
struct Shared {
    /// `None` while the files cannot be used; `why` says why.
    handles: RwLock<Option<Arc<Handles>>>,
    why: Mutex<String>,
    gate: Gate,
    cache: Cache<Key, Bytes>,
    watchers: Watchers,
    snapshots: Snapshots,
    figures: Mutex<EngineFigures>,
}

impl Shared {
    fn handles(&self) -> Result<Arc<Handles>, EngineError> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.clone().ok_or_else(|| self.unavailable())
    }

    fn unavailable(&self) -> EngineError {
        EngineError::Unavailable(self.why.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn set_why(&self, why: impl Into<String>) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why.into();
    }

    fn count(&self, change: impl FnOnce(&mut EngineFigures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl SledEngine {
    /// Opens the store in `dir`, or makes it. Blocks (reads the log): call it before serving, or from a blocking thread.
    ///
    /// # Errors
    /// Another process holds it, it is damaged or cut, or the folder cannot be used; each with the way out.
    pub fn open(dir: &Path, options: SledOptions) -> Result<Arc<Self>, OpenError> {
        std::fs::create_dir_all(dir).map_err(|error| OpenError::folder(dir, &error))?;
        Self::open_locked(dir, options, Lock::take(dir)?)
    }

    /// The same, with the store's lock already held.
    pub(crate) fn open_locked(dir: &Path, options: SledOptions, lock: Lock) -> Result<Arc<Self>, OpenError> {
        let (handles, stamp) = open::open(dir, &options)?;
        let weigh =
            |key: &Key, value: &Bytes| u32::try_from(key.len() + value.len() + 64).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            handles: RwLock::new(Some(Arc::new(handles))),
            why: Mutex::default(),
            gate: Gate::default(),
            cache: Cache::builder().max_capacity(options.value_cache_bytes).weigher(weigh).build(),
            watchers: Watchers::default(),
            snapshots: Snapshots::new(options.snapshot_bytes),
            figures: Mutex::default(),
        });
        let readers = Readers::start(options.readers).map_err(|error| OpenError::folder(dir, &error))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        Writer::start(dir, options, Arc::clone(&shared), queue, stamp, lock)
            .map_err(|error| OpenError::folder(dir, &error))?;
        Ok(Arc::new(Self { shared, jobs, readers: Arc::new(readers) }))
    }

    /// Opens the store in `dir`, which must be there.
    ///
    /// # Errors
    /// As [`SledEngine::open`]; [`OpenError::Missing`] where there is none.
    pub fn open_existing(dir: &Path, options: SledOptions) -> Result<Arc<Self>, OpenError> {
        match Self::is_there(dir) {
            true => Self::open(dir, options),
            false => Err(OpenError::Missing { dir: dir.to_owned() }),
        }
    }

    /// Whether there is a store in `dir`.
    pub fn is_there(dir: &Path) -> bool {
        open::is_there(dir)
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| self.shared.unavailable())?;
        answered.await.map_err(|_| self.shared.unavailable())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&sled::Tree) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let handles = self.shared.handles().inspect_err(|_| self.nudge())?;
        self.readers.run(move || read(&handles.tree)).await.map_err(EngineError::Unavailable)
    }

    /// Only the writer opens the files again, and only when it is asked something.
    fn nudge(&self) {
        // A full queue asks it anyway, and nobody waits for the answer.
        let _ = self.jobs.try_send(Job::Flush { answer: oneshot::channel().0 });
    }

    async fn read_missing(&self, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>, EngineError> {
        let mark = self.shared.gate.mark();
        let (keys, values) = self
            .read(move |tree| {
                let values =
                    keys.iter().map(|key| Ok(tree.get(key)?.map(to_bytes))).collect::<sled::Result<Vec<_>>>();
                values.map(|values| (keys, values))
            })
            .await?;
        let settled = self.shared.gate.settle(&mark, |fresh, group| {
            let mut waits = false;
            for (key, value) in keys.iter().zip(&values) {
                if group.makes_wait(key) {
                    waits = true;
                } else if fresh
                    && !mark.touches(key)
                    && let Some(value) = value
                    && !value.is_empty()
                {
                    self.shared.cache.insert(key.clone(), value.clone());
                }
            }
            waits
        });
        self.durable(settled).await?;
        Ok(values)
    }

    /// Waits for the end of the group whose writes were seen before they were durable.
    async fn durable(&self, settled: Settled) -> Result<(), EngineError> {
        match settled {
            Settled::Durable => Ok(()),
            Settled::After(group) if self.shared.gate.ended(group).await => Ok(()),
            Settled::After(_) | Settled::Void => Err(self.shared.unavailable()),
        }
    }
}

fn to_bytes(value: sled::IVec) -> Bytes {
    Bytes::copy_from_slice(&value)
}

#[async_trait]
impl Engine for SledEngine {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if let Some(value) = self.shared.cache.get(key) {
            return Ok(Some(value));
        }
        Ok(self.read_missing(vec![key.to_vec()]).await?.pop().flatten())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let mut values: Vec<Option<Bytes>> = keys.iter().map(|key| self.shared.cache.get(key)).collect();
        let missing: Vec<Key> = keys
            .iter()
            .zip(&values)
            .filter(|(_, value)| value.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        if !missing.is_empty() {
            let mut read = self.read_missing(missing).await?.into_iter();
            for value in values.iter_mut().filter(|value| value.is_none()) {
                *value = read.next().flatten();
            }
        }
        Ok(values)
    }

    async fn range(&self, range: &Range) -> Result<Entries, EngineError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mark = self.shared.gate.mark();
        let Range { start, end, limit, reverse } = range.clone();
        let entries = self
            .read(move |tree| {
                let found = tree.range(start..end);
                let owned = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
                    entry.map(|(key, value)| (key.to_vec(), to_bytes(value)))
                };
                match reverse {
                    false => found.take(limit).map(owned).collect::<sled::Result<Entries>>(),
                    true => found.rev().take(limit).map(owned).collect(),
                }
            })
            .await?;
        let settled =
            self.shared.gate.settle(&mark, |_, group| group.makes_range_wait(&range.start, &range.end));
        self.durable(settled).await?;
        Ok(entries)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        within_limits(&commit)?;
        self.ask(|answer| Job::Commit { commit, answer }).await?
    }

    async fn flush(&self) -> Result<(), EngineError> {
        self.ask(|answer| Job::Flush { answer }).await?
    }

    async fn watch(&self, log: &[u8]) -> Result<watch::Receiver<u64>, EngineError> {
        let newest = self.range(&Range::prefix(log, 1).reversed()).await?;
        let newest = newest.first().and_then(|(key, _)| sequence_of(key)).unwrap_or(0);
        Ok(self.shared.watchers.watch(log, newest))
    }

    async fn snapshot(&self, prefixes: &[&[u8]]) -> Result<Box<dyn Snapshot>, EngineError> {
        let prefixes = prefixes.iter().map(|prefix| prefix.to_vec()).collect();
        let (stamp, held) = self.ask(|answer| Job::Snapshot { prefixes, answer }).await??;
        let (shared, readers) = (Arc::clone(&self.shared), Arc::clone(&self.readers));
        Ok(Box::new(SledSnapshot { shared, readers, stamp, held }))
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn figures(&self) -> EngineFigures {
        *self.shared.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close(&self) {
        // An error says that the writer has ended already.
        let _ = self.ask(|answer| Job::Close { answer }).await;
    }
}

//! Snapshots: sled 0.34 has none, so the writer keeps what it overwrites.
//!
//! A snapshot begins between two groups. From then on the writer, before it applies a group, puts the present values of
//! the keys that the group changes beside the snapshot, as far as the snapshot has not read past them. A page is read from
//! sled first, and what was kept is laid over it afterwards: a key that changed before or during the reading was kept
//! before it changed. What a page covers is then forgotten, so little is kept: the changes ahead of the reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;

use super::readers::Readers;
use super::{Shared, to_bytes};
use crate::engine::{EngineError, Entries, Key, Snapshot, after_prefix};

/// What one kept value takes beside its bytes, roughly.
const OVERHEAD: usize = 96;

/// The snapshots that are being read.
pub(super) struct Snapshots {
    held: Mutex<Vec<Weak<Held>>>,
    most_bytes: usize,
}

/// One snapshot, shared by its reader and the writer.
pub(super) struct Held(Mutex<Before>);

#[derive(Default)]
struct Before {
    /// Start and end of what is still to be read, in order; the first one shrinks.
    ranges: Vec<(Key, Key)>,
    kept: BTreeMap<Key, Option<Bytes>>,
    bytes: usize,
    lost: Option<String>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Before> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshots {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { held: Mutex::default(), most_bytes }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Weak<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one at the state that the writer has reached.
    pub(super) fn begin(&self, mut prefixes: Vec<Key>) -> Arc<Held> {
        prefixes.sort();
        let ranges = prefixes.into_iter().map(|prefix| (prefix.clone(), after_prefix(&prefix))).collect();
        let held = Arc::new(Held(Mutex::new(Before { ranges, ..Before::default() })));
        let mut all = self.all();
        all.retain(|held| held.strong_count() > 0);
        all.push(Arc::downgrade(&held));
        held
    }

    /// Before a group is applied: keeps what its keys hold.
    pub(super) fn keep<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key> + Clone,
        value: impl Fn(&[u8]) -> Result<Option<Bytes>, String>,
    ) {
        for held in self.all().iter().filter_map(Weak::upgrade) {
            let mut before = held.lock();
            for key in keys.clone() {
                before.keep(key, &value, self.most_bytes);
            }
        }
    }

    /// The files were let go of: what is read from them later may be of another moment.
    pub(super) fn lose(&self, why: &str) {
        for held in self.all().drain(..).filter_map(|held| held.upgrade()) {
            held.lock().lose(why.to_owned());
        }
    }
}

impl Before {
    fn lose(&mut self, why: String) {
        self.lost.get_or_insert(why);
        self.kept.clear();
        self.ranges.clear();
    }

    fn keep(&mut self, key: &Key, value: impl Fn(&[u8]) -> Result<Option<Bytes>, String>, most: usize) {
        let is_ahead = self.ranges.iter().any(|(start, end)| start <= key && key < end);
        if !is_ahead || self.kept.contains_key(key) {
            return;
        }
        match value(key) {
            Err(reason) => self.lose(reason),
            Ok(value) => {
                let bytes = value.as_ref().map_or(0, Bytes::len).saturating_add(key.len());
                self.bytes = self.bytes.saturating_add(bytes).saturating_add(OVERHEAD);
                self.kept.insert(key.clone(), value);
                if self.bytes > most {
                    self.lose(format!(
                        "too much was written while a snapshot was read (more than {} MiB, snapshot_bytes); read \
                         faster, or when less is written",
                        most >> 20
                    ));
                }
            }
        }
    }

    /// Lays what was kept over a page that covers everything up to `end`, and forgets it.
    fn settle(&mut self, page: Entries, end: &Key) -> Entries {
        let ahead = self.kept.split_off(end);
        let kept = std::mem::replace(&mut self.kept, ahead);
        if let Some((start, whole)) = self.ranges.first_mut() {
            if *whole <= *end {
                self.ranges.remove(0);
            } else {
                start.clone_from(end);
            }
        }
        if kept.is_empty() {
            return page;
        }
        let mut merged: BTreeMap<Key, Bytes> = page.into_iter().collect();
        for (key, value) in kept {
            let bytes = value.as_ref().map_or(0, Bytes::len).saturating_add(key.len());
            self.bytes = self.bytes.saturating_sub(bytes).saturating_sub(OVERHEAD);
            match value {
                Some(value) => merged.insert(key, value),
                None => merged.remove(&key),
            };
        }
        merged.into_iter().collect()
    }
}

/// A snapshot's reader.
pub(super) struct SledSnapshot {
    pub(super) shared: Arc<Shared>,
    pub(super) readers: Arc<Readers>,
    pub(super) stamp: u64,
    pub(super) held: Arc<Held>,
}

impl SledSnapshot {
    /// Where to read on; `None` at the end.
    fn place(&self) -> Result<Option<(Key, Key)>, EngineError> {
        let before = self.held.lock();
        match &before.lost {
            Some(why) => Err(EngineError::Unavailable(why.clone())),
            None => Ok(before.ranges.first().cloned()),
        }
    }
}

#[async_trait]
impl Snapshot for SledSnapshot {
    fn stamp(&self) -> u64 {
        self.stamp
    }

    async fn next(&mut self, limit: usize) -> Result<Entries, EngineError> {
        while let Some((start, end)) = self.place()? {
            let handles = self.shared.handles()?;
            let until = end.clone();
            let page = self.readers.run(move || {
                let owned = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
                    entry.map(|(key, value)| (key.to_vec(), to_bytes(value)))
                };
                handles.tree.range(start..until).take(limit).map(owned).collect::<sled::Result<Entries>>()
            });
            let page = page.await.map_err(EngineError::Unavailable)?;
            let covered = match page.last() {
                Some((last, _)) if page.len() == limit => [last.as_slice(), &[0]].concat(),
                _ => end,
            };
            let mut before = self.held.lock();
            if let Some(why) = &before.lost {
                return Err(EngineError::Unavailable(why.clone()));
            }
            let page = before.settle(page, &covered);
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }
}

//! An engine in memory, for tests: the same rules, no disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::engine::{
    Commit, CommitError, Committed, Engine, EngineError, EngineFigures, Entries, Key, Range, Snapshot,
};
use crate::judge::{State, judge, sequence_of, within_limits};
use crate::watchers::Watchers;

/// Keys and values in a map; gone with the process.
#[derive(Default)]
pub struct MemoryEngine {
    inner: Mutex<Inner>,
    watchers: Watchers,
}

#[derive(Default)]
struct Inner {
    map: BTreeMap<Key, Bytes>,
    stamp: u64,
    figures: EngineFigures,
    broken: Option<String>,
}

impl State for BTreeMap<Key, Bytes> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(BTreeMap::get(self, key).cloned())
    }
}

impl MemoryEngine {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on everything is `Unavailable` for this reason, as on a broken disk; `None` mends it.
    pub fn break_with(&self, reason: Option<&str>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).broken = reason.map(str::to_owned);
    }

    fn usable(&self) -> Result<MutexGuard<'_, Inner>, EngineError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match &inner.broken {
            Some(reason) => Err(EngineError::Unavailable(reason.clone())),
            None => Ok(inner),
        }
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.usable()?.map.get(key).cloned())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let inner = self.usable()?;
        Ok(keys.iter().map(|key| inner.map.get(key).cloned()).collect())
    }

    async fn range(&self, range: &Range) -> Result<Entries, EngineError> {
        let inner = self.usable()?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = inner.map.range(range.start.clone()..range.end.clone());
        let owned = |(key, value): (&Key, &Bytes)| (key.clone(), value.clone());
        Ok(match range.reverse {
            false => entries.take(range.limit).map(owned).collect(),
            true => entries.rev().take(range.limit).map(owned).collect(),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        within_limits(&commit)?;
        let mut inner = self.usable()?;
        let committed = Committed { stamp: inner.stamp.saturating_add(1) };
        let changes = judge(&commit, &inner.map, committed).inspect_err(|_| inner.figures.refused += 1)?;
        inner.stamp = committed.stamp;
        inner.figures.commits += 1;
        for (key, value) in changes {
            match value {
                Some(value) => inner.map.insert(key, value),
                None => inner.map.remove(&key),
            };
        }
        self.watchers.tell(&commit, committed);
        Ok(committed)
    }

    async fn flush(&self) -> Result<(), EngineError> {
        self.usable().map(|_| ())
    }

    async fn watch(&self, log: &[u8]) -> Result<watch::Receiver<u64>, EngineError> {
        let newest = self.range(&Range::prefix(log, 1).reversed()).await?;
        let newest = newest.first().and_then(|(key, _)| sequence_of(key)).unwrap_or(0);
        Ok(self.watchers.watch(log, newest))
    }

    async fn snapshot(&self, prefixes: &[&[u8]]) -> Result<Box<dyn Snapshot>, EngineError> {
        let inner = self.usable()?;
        let within = |key: &Key| prefixes.iter().any(|prefix| key.starts_with(prefix));
        let entries = inner.map.iter().filter(|(key, _)| within(key));
        let entries: Entries = entries.map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Box::new(Copied { stamp: inner.stamp, entries: entries.into_iter() }))
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn figures(&self) -> EngineFigures {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).figures
    }

    async fn close(&self) {
        self.break_with(Some("it was closed"));
    }
}

/// A snapshot that is a copy.
struct Copied {
    stamp: u64,
    entries: std::vec::IntoIter<(Key, Bytes)>,
}

#[async_trait]
impl Snapshot for Copied {
    fn stamp(&self) -> u64 {
        self.stamp
    }

    async fn next(&mut self, limit: usize) -> Result<Entries, EngineError> {
        Ok(self.entries.by_ref().take(limit).collect())
    }
}

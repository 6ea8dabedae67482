//! Keeps what is applied but not yet durable from readers, and stale values from the cache.
//!
//! Between sled's `apply_batch` and the end of the flush the tree shows what a power cut would take back. The writer
//! names the keys of that group here first; a reader looks here *after* it has read. If a key that it read is named, it
//! waits for the group's end, and what it has read is then durable, old or new. If not, what it has read is durable.
//!
//! A value that was read may go into the cache only if no group that writes its key began since the reading: the reader
//! notes the group's number before, and inserts under the lock that a new group needs to begin.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::engine::Key;

/// The keys of the group that is being written. The value says whether readers must wait (not for buffered commits).
pub(super) type Touched = BTreeMap<Key, bool>;

#[derive(Clone, Default)]
pub(super) struct Group {
    number: u64,
    touched: Arc<Touched>,
    /// Groups that failed so far: what was read while one was applied may never have been.
    failures: u64,
}

impl Group {
    pub(super) fn makes_wait(&self, key: &[u8]) -> bool {
        self.touched.get(key).copied().unwrap_or(false)
    }

    pub(super) fn makes_range_wait(&self, start: &[u8], end: &[u8]) -> bool {
        let bounds = (Bound::Included(start), Bound::Excluded(end));
        self.touched.range::<[u8], _>(bounds).any(|(_, waits)| *waits)
    }
}

/// The state at the beginning of a reading.
pub(super) struct Mark(Group);

impl Mark {
    /// Whether the key was being written when the reading began.
    pub(super) fn touches(&self, key: &[u8]) -> bool {
        self.0.touched.contains_key(key)
    }
}

/// What a reading is worth.
pub(super) enum Settled {
    /// It shows what is durable.
    Durable,
    /// It will, when this group has ended.
    After(u64),
    /// It may show what failed to be written.
    Void,
}

/// How far groups have come.
#[derive(Clone, Copy, Default)]
struct Ended {
    number: u64,
    failed: bool,
}

pub(super) struct Gate {
    group: RwLock<Group>,
    ended: watch::Sender<Ended>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { group: RwLock::default(), ended: watch::Sender::new(Ended::default()) }
    }
}

impl Gate {
    /// To be taken before a reading.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.group.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// To be done after it: `look(fresh, group)` says whether what was read must wait, and may fill the cache where
    /// `fresh` says that no group began since.
    pub(super) fn settle(&self, mark: &Mark, look: impl FnOnce(bool, &Group) -> bool) -> Settled {
        let group = self.group.read().unwrap_or_else(PoisonError::into_inner);
        if group.failures != mark.0.failures {
            return Settled::Void;
        }
        if look(mark.0.number == group.number, &group) {
            Settled::After(group.number)
        } else {
            Settled::Durable
        }
    }

    /// The writer is about to apply a group that writes these keys.
    pub(super) fn begin(&self, touched: Touched) {
        let mut group = self.group.write().unwrap_or_else(PoisonError::into_inner);
        group.number = group.number.saturating_add(1);
        group.touched = Arc::new(touched);
    }

    /// The group is durable, or failed.
    pub(super) fn end(&self, failed: bool) {
        let mut group = self.group.write().unwrap_or_else(PoisonError::into_inner);
        group.touched = Arc::default();
        group.failures = group.failures.saturating_add(u64::from(failed));
        self.ended.send_replace(Ended { number: group.number, failed });
    }

    /// Waits for a group's end; says whether it is durable.
    pub(super) async fn ended(&self, number: u64) -> bool {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(|ended| ended.number >= number).await {
            Ok(ended) => !(ended.failed && ended.number == number),
            Err(_) => false,
        }
    }
}

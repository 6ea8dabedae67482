//! The one thing that durable state asks of a database: ordered keys, reads, and small atomic commits.
//!
//! | method | what it does | who else offers it |
//! |---|---|---|
//! | [`get`](Engine::get), [`range`](Engine::range) | reads what is durable | everybody |
//! | [`commit`](Engine::commit) | checks preconditions, then writes all or nothing; durable on return | FoundationDB, etcd, TiKV |
//! | [`Write::Append`] | a key numbered by the engine, growing in commit order | FoundationDB's versionstamped keys |
//! | [`Write::Add`] | adds to a counter within bounds, without reading it first | FoundationDB's atomic add, with a check |
//! | [`Write::Sum`] | adds several signed numbers under one key | FoundationDB's atomic add, a key per number |
//! | [`Write::Chain`] | appends to a log in which each entry holds the hash of the one before | nobody: a writer of its own |
//! | [`watch`](Engine::watch) | tells when a log grew | etcd's watch |
//! | [`snapshot`](Engine::snapshot) | reads a lot as it was at one moment, while others write | etcd's revisions, TiKV's timestamps |
//!
//! What always holds:
//! - **A read shows only what is durable**, so nothing is ever told to a client that a power cut could take back. The
//!   exception is a commit marked [`buffered`](Commit::buffered), which says so.
//! - Whoever committed reads his own writes.
//! - A commit has at most [`MAX_OPERATIONS`] operations and [`MAX_BYTES`] bytes, because distributed engines allow no
//!   more; a caller that needs more splits its work, or is wrong.
//!
//! Why counters and logs are operations and not preconditions: under 64 clients a counter read, raised and checked
//! by precondition makes 63 of them try again, and so on; the engine sees all commits in order anyway. The same holds for
//! a chain: its newest hash as a precondition would let one commit of a group through.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use crate::chain;

/// Preconditions and writes of one commit, together.
pub const MAX_OPERATIONS: usize = 100;
/// Keys and values of one commit, preconditions included.
pub const MAX_BYTES: usize = 1 << 20;
/// One key. FoundationDB's limit.
pub const MAX_KEY_BYTES: usize = 10_000;

/// One number of a [`Write::Sum`].
pub const TERM_BYTES: usize = 16;

/// A key.
pub type Key = Vec<u8>;

/// What must hold for a commit to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such key.
    Absent(Key),
    /// The key has exactly this value.
    Is(Key, Bytes),
}

/// One write of a commit. They are applied in order; a later one sees the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(Key, Bytes),
    /// Removes a key; it need not be there.
    Delete(Key),
    /// Adds to a counter (8 bytes, big-endian; no key = 0). Below 0 stops at 0; 0 removes the key, so that "nobody"
    /// can be a precondition. A growing counter above `max` refuses the commit.
    Add {
        /// The counter.
        key: Key,
        /// What to add.
        delta: i64,
        /// At most so much; `None` = no bound.
        max: Option<u64>,
    },
    /// Sets `prefix` followed by the commit's [`sequence`](Committed::sequence) for `ordinal` (8 bytes, big-endian).
    Append {
        /// The log.
        prefix: Key,
        /// Tells several appends of one commit apart; the same ordinal in several logs makes the same number in all.
        ordinal: u8,
        /// What to write.
        value: Bytes,
    },
    /// Adds to each of the signed numbers under a key (16 bytes each, big-endian; no key = zeros). All of them 0 removes
    /// the key.
    Sum {
        /// The numbers.
        key: Key,
        /// What to add, by place.
        terms: Vec<i128>,
    },
    /// Appends to a log, with the hash of the entry before it; see [`crate::chain`] for what is written.
    Chain {
        /// The log.
        prefix: Key,
        /// Where its newest entry is noted.
        head: Key,
        /// As in [`Write::Append`].
        ordinal: u8,
        /// What to write.
        value: Bytes,
    },
}

/// Preconditions and writes that hold or fail together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Checked first, in order.
    pub preconditions: Vec<Precondition>,
    /// Then applied, in order.
    pub writes: Vec<Write>,
    /// Answer when it is visible, before it is durable; [`Engine::flush`] makes it so. For what may be lost with the
    /// process, such as plugins' notes within a call.
    pub buffered: bool,
}

impl Commit {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// There must be no such key.
    pub fn absent(&mut self, key: Key) -> &mut Self {
        self.preconditions.push(Precondition::Absent(key));
        self
    }

    /// The key must have this value; `None` = must not be there.
    pub fn is(&mut self, key: Key, value: Option<Bytes>) -> &mut Self {
        self.preconditions.push(match value {
            Some(value) => Precondition::Is(key, value),
            None => Precondition::Absent(key),
        });
        self
    }

    /// Sets a key.
    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write::Put(key, value.into()));
        self
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Adds to a counter; nothing where there is nothing to add and no bound to check.
    pub fn add(&mut self, key: Key, delta: i64, max: Option<u64>) -> &mut Self {
        if delta != 0 {
            self.writes.push(Write::Add { key, delta, max });
        }
        self
    }

    /// Appends to a log.
    pub fn append(&mut self, prefix: Key, ordinal: u8, value: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write::Append { prefix, ordinal, value: value.into() });
        self
    }

    /// Adds to each number under a key; nothing where there is nothing to add.
    pub fn sum(&mut self, key: Key, terms: &[i128]) -> &mut Self {
        if terms.iter().any(|term| *term != 0) {
            self.writes.push(Write::Sum { key, terms: terms.to_vec() });
        }
        self
    }

    /// Appends to a chained log.
    pub fn chain(&mut self, prefix: Key, head: Key, ordinal: u8, value: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write::Chain { prefix, head, ordinal, value: value.into() });
        self
    }

    /// Keys and values together.
    pub fn bytes(&self) -> usize {
        let read = self.preconditions.iter().map(|precondition| match precondition {
            Precondition::Absent(key) => key.len(),
            Precondition::Is(key, value) => key.len().saturating_add(value.len()),
        });
        let written = self.writes.iter().map(|write| match write {
            Write::Put(key, value) => key.len().saturating_add(value.len()),
            Write::Delete(key) => key.len(),
            Write::Add { key, .. } => key.len().saturating_add(8),
            Write::Append { prefix, value, .. } => prefix.len().saturating_add(8).saturating_add(value.len()),
            Write::Sum { key, terms } => key.len().saturating_add(terms.len().saturating_mul(TERM_BYTES)),
            Write::Chain { prefix, head, value, .. } => {
                let entry = prefix.len().saturating_add(8).saturating_add(value.len());
                entry.saturating_add(head.len()).saturating_add(chain::OVERHEAD)
            }
        });
        read.chain(written).fold(0, usize::saturating_add)
    }

    /// Preconditions and writes together.
    pub fn operations(&self) -> usize {
        self.preconditions.len().saturating_add(self.writes.len())
    }
}

/// A commit that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Grows with every commit of the store's whole life.
    pub stamp: u64,
}

impl Committed {
    /// The number of an append of this commit: grows from commit to commit, and within one by ordinal.
    pub const fn sequence(self, ordinal: u8) -> u64 {
        self.stamp << 8 | ordinal as u64
    }
}

/// The engine cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The disk is full, read-only or broken, or the engine was closed. What was asked did not happen, or (a commit
    /// whose flush failed) is told as failed and may be found after all.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// A limit of this module.
    #[error("a commit of {found} {what} is over the limit of {limit} ({name}); split the work")]
    TooLarge {
        /// `MAX_OPERATIONS`, `MAX_BYTES` or `MAX_KEY_BYTES`.
        name: &'static str,
        /// Its unit.
        what: &'static str,
        /// How much there was.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// Why a commit was not made. Nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The precondition of this index does not hold: read again and decide anew.
    #[error("someone else wrote in between (precondition {0})")]
    Conflict(usize),
    /// The `Add` of this index among the writes would go over its bound.
    #[error("a counter that holds {held} would go over its bound (write {write})")]
    Bound {
        /// Which write.
        write: usize,
        /// What the counter holds.
        held: u64,
    },
    /// The engine cannot serve.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Which keys to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// From this key on.
    pub start: Key,
    /// Before this key.
    pub end: Key,
    /// At most so many.
    pub limit: usize,
    /// From the end.
    pub reverse: bool,
}

impl Range {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8], limit: usize) -> Self {
        Self { start: prefix.to_vec(), end: after_prefix(prefix), limit, reverse: false }
    }

    /// Only keys after this one.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        let next = [key, &[0]].concat();
        if next > self.start {
            self.start = next;
        }
        self
    }

    /// Only keys before this one.
    #[must_use]
    pub fn before(mut self, key: Key) -> Self {
        if key < self.end {
            self.end = key;
        }
        self
    }

    /// From the end.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Whether there can be such keys; the library's maps panic on a start after the end.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end || self.limit == 0
    }
}

/// The first key after all that begin with `prefix`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0xff; MAX_KEY_BYTES.saturating_add(1)]
}

/// Keys and values, in order.
pub type Entries = Vec<(Key, Bytes)>;

/// What an engine did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EngineFigures {
    /// Commits made.
    pub commits: u64,
    /// Commits refused by a precondition or a bound.
    pub refused: u64,
    /// Flushes; many commits share one.
    pub groups: u64,
    /// The most commits that shared one.
    pub largest_group: u64,
    /// Microseconds spent in checking commits.
    pub judge_us: u64,
    /// Microseconds spent in applying them.
    pub apply_us: u64,
    /// Microseconds spent in flushes.
    pub flush_us: u64,
    /// Bytes on disk.
    pub bytes_on_disk: u64,
}

/// The state of one moment, read a page at a time while others write.
#[async_trait]
pub trait Snapshot: Send {
    /// The last commit that it shows.
    fn stamp(&self) -> u64;

    /// The next keys and values, in order; none = that was all.
    async fn next(&mut self, limit: usize) -> Result<Entries, EngineError>;
}

/// An ordered key-value store with atomic commits. See the module's page for what always holds.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The values of several keys, in order; each on its own is durable, together they are no snapshot.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// Keys of a range, in order.
    async fn range(&self, range: &Range) -> Result<Entries, EngineError>;

    /// Checks and writes. Durable on return, unless it is buffered.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError>;

    /// Makes everything durable that was committed before; many callers share one flush.
    async fn flush(&self) -> Result<(), EngineError>;

    /// The number of the newest append to a log, each time it grows, once it is durable.
    async fn watch(&self, log: &[u8]) -> Result<watch::Receiver<u64>, EngineError>;

    /// All keys that begin with one of `prefixes`, as they are durable at one moment after the call. It costs writers
    /// nothing while it is not held; while it is, the engine keeps what they overwrite, within a bound: a snapshot that
    /// is read too slowly is lost and says so, and writers never wait for it.
    async fn snapshot(&self, prefixes: &[&[u8]]) -> Result<Box<dyn Snapshot>, EngineError>;

    /// Whether this process alone can have it open, so that what an earlier process held is free.
    fn is_exclusive(&self) -> bool;

    /// What it did.
    fn figures(&self) -> EngineFigures;

    /// Makes everything durable and lets go of the files; everything after is `Unavailable`.
    async fn close(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_neighbour() {
        assert_eq!(after_prefix(b"a"), b"b");
        assert_eq!(after_prefix(&[1, 0xff]), [2]);
        assert!(after_prefix(&[0xff]) > vec![0xff; MAX_KEY_BYTES]);
    }

    #[test]
    fn a_range_after_its_end_is_empty() {
        assert!(Range::prefix(b"a", 10).after(b"b").is_empty());
        assert!(Range::prefix(b"a", 0).is_empty());
        assert!(!Range::prefix(b"a", 1).after(b"a").is_empty());
        assert_eq!(Range::prefix(b"b", 1).after(b"a").start, b"b");
    }
}

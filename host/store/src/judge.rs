//! What a commit means: one place for all engines, so that they cannot disagree.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chain::Head;
use crate::engine::{
    Commit, CommitError, Committed, EngineError, Key, MAX_BYTES, MAX_KEY_BYTES, MAX_OPERATIONS, Precondition,
    TERM_BYTES, Write,
};

/// The state that a commit is judged against.
pub(crate) trait State {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
}

/// Keys to set (`Some`) and to remove (`None`).
pub(crate) type Changes = BTreeMap<Key, Option<Bytes>>;

/// Refuses a commit that is over a limit, before anybody queues for it.
pub(crate) fn within_limits(commit: &Commit) -> Result<(), EngineError> {
    let over = |name, what, found, limit| EngineError::TooLarge { name, what, found, limit };
    if commit.operations() > MAX_OPERATIONS {
        return Err(over("MAX_OPERATIONS", "operations", commit.operations(), MAX_OPERATIONS));
    }
    let bytes = commit.bytes();
    if bytes > MAX_BYTES {
        return Err(over("MAX_BYTES", "bytes", bytes, MAX_BYTES));
    }
    let longest = commit.writes.iter().map(|write| match write {
        Write::Put(key, _) | Write::Delete(key) | Write::Add { key, .. } | Write::Sum { key, .. } => {
            key.len()
        }
        Write::Append { prefix, .. } => prefix.len().saturating_add(8),
        Write::Chain { prefix, head, .. } => prefix.len().saturating_add(8).max(head.len()),
    });
    match longest.max() {
        Some(longest) if longest > MAX_KEY_BYTES => {
            Err(over("MAX_KEY_BYTES", "bytes in a key", longest, MAX_KEY_BYTES))
        }
        _ => Ok(()),
    }
}

/// What the commit changes, judged against `state`, were it made under `stamp`.
pub(crate) fn judge(commit: &Commit, state: &impl State, stamp: Committed) -> Result<Changes, CommitError> {
    for (index, precondition) in commit.preconditions.iter().enumerate() {
        let holds = match precondition {
            Precondition::Absent(key) => state.get(key)?.is_none(),
            Precondition::Is(key, value) => state.get(key)?.as_ref() == Some(value),
        };
        if !holds {
            return Err(CommitError::Conflict(index));
        }
    }
    let mut changes = Changes::new();
    for (index, write) in commit.writes.iter().enumerate() {
        match write {
            Write::Put(key, value) => {
                changes.insert(key.clone(), Some(value.clone()));
            }
            Write::Delete(key) => {
                changes.insert(key.clone(), None);
            }
            Write::Append { prefix, ordinal, value } => {
                changes.insert(log_key(prefix, stamp.sequence(*ordinal)), Some(value.clone()));
            }
            Write::Add { key, delta, max } => {
                let held = count(held(&changes, state, key)?.as_ref());
                let sum = held.saturating_add_signed(*delta);
                if *delta > 0 && max.is_some_and(|max| sum > max) {
                    return Err(CommitError::Bound { write: index, held });
                }
                let value = (sum > 0).then(|| Bytes::copy_from_slice(&sum.to_be_bytes()));
                changes.insert(key.clone(), value);
            }
            Write::Sum { key, terms: added } => {
                let mut sums = terms(held(&changes, state, key)?.as_ref());
                sums.resize(sums.len().max(added.len()), 0);
                for (sum, term) in sums.iter_mut().zip(added) {
                    *sum = sum.saturating_add(*term);
                }
                changes.insert(key.clone(), sums_value(&sums));
            }
            Write::Chain { prefix, head, ordinal, value } => {
                let sequence = stamp.sequence(*ordinal);
                let newest = Head::read(held(&changes, state, head)?.as_ref());
                let (entry, newest) = newest.link(sequence, value);
                changes.insert(log_key(prefix, sequence), Some(entry));
                changes.insert(head.clone(), Some(newest.bytes()));
            }
        }
    }
    Ok(changes)
}

/// What a key holds, as this commit has changed it so far.
fn held(changes: &Changes, state: &impl State, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
    match changes.get(key) {
        Some(changed) => Ok(changed.clone()),
        None => state.get(key),
    }
}

/// The numbers of a [`Write::Sum`], from what lies under its key.
pub(crate) fn terms(value: Option<&Bytes>) -> Vec<i128> {
    let (numbers, _) = value.map_or(&[][..], |bytes| bytes.as_ref()).as_chunks::<TERM_BYTES>();
    numbers.iter().map(|number| i128::from_be_bytes(*number)).collect()
}

/// The same, as they are written; `None` where all of them are 0.
pub(crate) fn sums_value(sums: &[i128]) -> Option<Bytes> {
    let bytes = || sums.iter().flat_map(|sum| sum.to_be_bytes()).collect();
    sums.iter().any(|sum| *sum != 0).then(bytes)
}

/// The key of an append.
pub(crate) fn log_key(prefix: &[u8], sequence: u64) -> Key {
    [prefix, &sequence.to_be_bytes()].concat()
}

/// The number of an append, from its key.
pub(crate) fn sequence_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// What a counter's value says.
pub(crate) fn count(value: Option<&Bytes>) -> u64 {
    value.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_ref()).ok()).map_or(0, u64::from_be_bytes)
}

//! What a commit means: one place for all engines, so that they cannot disagree.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::engine::{
    Commit, CommitError, Committed, EngineError, Key, MAX_BYTES, MAX_KEY_BYTES, MAX_OPERATIONS, Precondition,
    Write,
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
        Write::Put(key, _) | Write::Delete(key) | Write::Add { key, .. } => key.len(),
        Write::Append { prefix, .. } => prefix.len().saturating_add(8),
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
                let held = match changes.get(key) {
                    Some(changed) => count(changed.as_ref()),
                    None => count(state.get(key)?.as_ref()),
                };
                let sum = held.saturating_add_signed(*delta);
                if *delta > 0 && max.is_some_and(|max| sum > max) {
                    return Err(CommitError::Bound { write: index, held });
                }
                let value = (sum > 0).then(|| Bytes::copy_from_slice(&sum.to_be_bytes()));
                changes.insert(key.clone(), value);
            }
        }
    }
    Ok(changes)
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

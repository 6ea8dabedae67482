//! Retention: what is old enough is removed, a little at a time.

use archipel_model::{Error, Timestamp};
use bytes::Bytes;

use super::OrderCollection;
use super::events::StoredEvent;
use super::idempotency::Kept;
use crate::egress;
use crate::engine::{Commit, CommitError, Key, Range};
use crate::judge::{log_key, sequence_of};
use crate::keys::{self, Scope};
use crate::record::{decode, refusal};

/// Events that are removed in one commit: each has up to four keys.
const EVENTS_AT_A_TIME: usize = 20;
/// Removals under way at once, to share flushes.
const AT_ONCE: usize = 64;

impl OrderCollection {
    /// Closed orders that closed before.
    pub(super) async fn forget_closed(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let range = Range::prefix(keys::CLOSED_AT, limit).before(keys::at_prefix(keys::CLOSED_AT, before));
        let entries = self.engine.range(&range).await?;
        let mut forgotten = 0;
        for some in entries.chunks(AT_ONCE) {
            let removals = some.iter().map(|(index, _)| self.forget_order(index));
            for done in futures::future::join_all(removals).await {
                forgotten += usize::from(done?);
            }
        }
        Ok(forgotten)
    }

    async fn forget_order(&self, index: &[u8]) -> Result<bool, Error> {
        let mut commit = Commit::new();
        commit.delete(index.to_vec());
        if let Some(id) = keys::order_at_end(index)
            && let Some((stored, raw)) = self.read(id).await?
        {
            // First, because it may be many commits: what is cut short is taken up again with the order.
            egress::forget(&*self.engine, id).await?;
            commit.is(keys::order(id), Some(raw)).delete(keys::order(id));
            for scope in Scope::of(&stored.order) {
                commit.delete(keys::with_id(&scope.closed(), id));
            }
            if let Some(origin) = &stored.order.origin {
                commit.delete(keys::origin(origin));
            }
        }
        match self.engine.commit(commit).await {
            Ok(_) => Ok(true),
            // Someone changed it; the next round takes it.
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(refusal(error)),
        }
    }

    /// Events that happened before; says also to readers how far the log is gone.
    pub(super) async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let mut forgotten = 0;
        while forgotten < limit {
            let chunk = EVENTS_AT_A_TIME.min(limit.saturating_sub(forgotten));
            let entries = self.engine.range(&Range::prefix(keys::EVENTS, chunk)).await?;
            let mut commit = Commit::new();
            let mut old = 0;
            for (key, raw) in &entries {
                let (event, Some(sequence)) = (decode::<StoredEvent>(raw)?, sequence_of(key)) else {
                    continue;
                };
                if event.time >= before {
                    break;
                }
                commit.delete(key.clone());
                for index in event.indexes() {
                    commit.delete(log_key(&index, sequence));
                }
                commit.put(keys::FORGOTTEN.to_vec(), sequence.to_be_bytes().to_vec());
                old += 1;
            }
            if old == 0 {
                break;
            }
            self.engine.commit(commit).await.map_err(refusal)?;
            forgotten += old;
            if old < chunk {
                break;
            }
        }
        Ok(forgotten)
    }

    /// Idempotency keys first seen before.
    pub(super) async fn forget_idempotency(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let range =
            Range::prefix(keys::IDEMPOTENCY_AT, limit).before(keys::at_prefix(keys::IDEMPOTENCY_AT, before));
        let entries = self.engine.range(&range).await?;
        let mut forgotten = 0;
        for some in entries.chunks(AT_ONCE) {
            let removals = some.iter().map(|(index, _)| self.forget_key(index, before));
            for done in futures::future::join_all(removals).await {
                forgotten += usize::from(done?);
            }
        }
        Ok(forgotten)
    }

    async fn forget_key(&self, index: &[u8], before: Timestamp) -> Result<bool, Error> {
        // The record goes first: parts without a record are only space, a record without its parts is an error. The
        // index goes last, so that what was left over is found again.
        let mut removals: Vec<Key> = Vec::new();
        let mut commit = Commit::new();
        if let Some(digest) = keys::digest_at_end(index)
            && let Some(raw) = self.engine.get(&keys::idempotency(&digest)).await?
            && let Some(parts) = ended(&raw, before)?
        {
            commit.is(keys::idempotency(&digest), Some(raw));
            removals.push(keys::idempotency(&digest));
            removals.extend((0..parts).map(|part| keys::idempotency_part(&digest, part)));
        }
        removals.push(index.to_vec());
        for some in removals.chunks(AT_ONCE) {
            for key in some {
                commit.delete(key.clone());
            }
            match self.engine.commit(std::mem::take(&mut commit)).await {
                Ok(_) => {}
                Err(CommitError::Conflict(_)) => return Ok(false),
                Err(error) => return Err(refusal(error)),
            }
        }
        Ok(true)
    }
}

/// The parts of a key that is old enough; `None` where the key was used anew since.
fn ended(raw: &Bytes, before: Timestamp) -> Result<Option<u16>, Error> {
    let kept: Kept = decode(raw)?;
    Ok((kept.record.created_at < before).then_some(kept.parts))
}

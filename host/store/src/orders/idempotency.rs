//! Idempotency keys: a repeated request gets the first answer.
//!
//! A long answer (a bulk of a thousand orders) is more than one commit may hold, so its body is cut into parts that are
//! written before the record that counts them: a record never names parts that are not there.

use std::time::Duration;

use archipel_model::Error;
use archipel_orders::store::{IdempotencyRecord, IdempotencyScope};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OrderCollection;
use crate::engine::{Commit, CommitError, Key};
use crate::keys;
use crate::record::{Record, TRIES, busy, decode, encode, refusal};

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A body up to this size lies in the record itself. Bytes.
const WHOLE: usize = 64 * 1024;
/// Bytes of one part of a longer body.
const PART: usize = 256 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) scope: IdempotencyScope,
    pub(crate) record: IdempotencyRecord,
    /// Parts that the answer's body lies in; 0 = it lies here.
    pub(crate) parts: u16,
}

impl Record for Kept {
    const NAME: &'static str = "idempotency key";
}

impl OrderCollection {
    pub(super) async fn read_idempotency(
        &self,
        scope: &IdempotencyScope,
    ) -> Result<Option<IdempotencyRecord>, Error> {
        let digest = keys::idempotency_digest(scope);
        let (kept, _) = self.kept(scope, &digest).await?;
        let Some(Kept { mut record, parts, .. }) = kept.filter(|kept| self.is_remembered(kept)) else {
            return Ok(None);
        };
        if let Some(answer) = &mut record.answer
            && parts > 0
        {
            let names: Vec<Key> = (0..parts).map(|part| keys::idempotency_part(&digest, part)).collect();
            let lost = || Error::internal("a stored answer is incomplete; run archipel store check");
            let mut body = Vec::new();
            for part in self.engine.get_many(&names).await? {
                body.extend_from_slice(&part.ok_or_else(lost)?);
            }
            answer.body = String::from_utf8(body).map_err(|_| lost())?;
        }
        Ok(Some(record))
    }

    /// Adds a new key to the commit of a single create.
    ///
    /// # Errors
    /// `conflict`, code `idempotency-key-used` where the key is there (read it and give its answer again), or
    /// `idempotency-key-reused` where it is there with another request.
    pub(super) async fn begin_idempotency(
        &self,
        commit: &mut Commit,
        scope: &IdempotencyScope,
        record: &IdempotencyRecord,
    ) -> Result<(), Error> {
        let digest = keys::idempotency_digest(scope);
        let (kept, raw) = self.kept(scope, &digest).await?;
        if let Some(kept) = kept.filter(|kept| self.is_remembered(kept)) {
            return Err(taken(&kept, record));
        }
        let key = keys::idempotency(&digest);
        let kept = Kept { scope: scope.clone(), record: record.clone(), parts: 0 };
        commit
            .is(key.clone(), raw)
            .put(key, encode(&kept)?)
            .put(keys::idempotency_at(record.created_at, &digest), Bytes::new());
        Ok(())
    }

    pub(super) async fn write_idempotency(
        &self,
        scope: &IdempotencyScope,
        record: &IdempotencyRecord,
    ) -> Result<(), Error> {
        let digest = keys::idempotency_digest(scope);
        for _ in 0..TRIES {
            let (kept, raw) = self.kept(scope, &digest).await?;
            if let Some(kept) = kept.filter(|kept| self.is_remembered(kept)) {
                let completes = kept.record.answer.is_none() && kept.record.order_ids == record.order_ids;
                if kept.record.request_hash != record.request_hash || !completes {
                    return match self.read_idempotency(scope).await? {
                        Some(same) if same == *record => Ok(()),
                        _ => Err(taken(&kept, record)),
                    };
                }
            }
            let kept = self.lay_out(scope, &digest, record).await?;
            let key = keys::idempotency(&digest);
            let mut commit = Commit::new();
            commit
                .is(key.clone(), raw)
                .put(key, encode(&kept)?)
                .put(keys::idempotency_at(record.created_at, &digest), Bytes::new());
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        Err(busy())
    }

    /// The record to write; the parts of a long body are written here.
    async fn lay_out(
        &self,
        scope: &IdempotencyScope,
        digest: &[u8; 32],
        record: &IdempotencyRecord,
    ) -> Result<Kept, Error> {
        let mut kept = Kept { scope: scope.clone(), record: record.clone(), parts: 0 };
        let Some(answer) = &mut kept.record.answer else { return Ok(kept) };
        if answer.body.len() <= WHOLE {
            return Ok(kept);
        }
        let body = std::mem::take(&mut answer.body).into_bytes();
        for part in body.chunks(PART) {
            let mut commit = Commit::new();
            commit.put(keys::idempotency_part(digest, kept.parts), Bytes::copy_from_slice(part));
            self.engine.commit(commit).await.map_err(refusal)?;
            let too_long =
                || Error::invalid("an answer is too long to be kept; ask for fewer orders at once");
            kept.parts = kept.parts.checked_add(1).ok_or_else(too_long)?;
        }
        Ok(kept)
    }

    async fn kept(
        &self,
        scope: &IdempotencyScope,
        digest: &[u8; 32],
    ) -> Result<(Option<Kept>, Option<Bytes>), Error> {
        let Some(raw) = self.engine.get(&keys::idempotency(digest)).await? else { return Ok((None, None)) };
        let kept: Kept = decode(&raw)?;
        Ok((Some(kept).filter(|kept| kept.scope == *scope), Some(raw)))
    }

    fn is_remembered(&self, kept: &Kept) -> bool {
        self.clock.now().since(kept.record.created_at) < REMEMBERED
    }
}

fn taken(kept: &Kept, record: &IdempotencyRecord) -> Error {
    if kept.record.request_hash == record.request_hash {
        return Error::conflict("this idempotency key is in use; repeat the request to get its answer")
            .code("idempotency-key-used");
    }
    Error::conflict("this idempotency key belongs to another request; use a new one")
        .code("idempotency-key-reused")
}

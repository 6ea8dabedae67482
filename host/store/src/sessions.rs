//! Sessions and revocations.
//!
//! A session that is derived from another has "the parent is as I read it, and not revoked" as a precondition, and a
//! revocation writes the parent before it looks for children: so no child slips in between and outlives its parent.

use std::sync::Arc;

use archipel_identity::store::{Session, SessionStore};
use archipel_model::{Error, Owner, SessionId, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::{Commit, CommitError, Engine, Entries, Key, Range};
use crate::keys;
use crate::read_before::ReadBefore;
use crate::record::{Record, TRIES, busy, decode, encode, refusal};
use crate::store::time_bytes;

/// Index entries that are read at a time.
const CHUNK: usize = 256;
/// Sessions derived from one at most that a revocation follows.
const DERIVED: usize = 10_000;

impl Record for Session {
    const NAME: &'static str = "session";
}

pub(crate) struct SessionCollection {
    engine: Arc<dyn Engine>,
    read_before: ReadBefore<SessionId, Session>,
}

impl SessionCollection {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, read_before: ReadBefore::default() }
    }

    async fn read(&self, id: SessionId) -> Result<Option<(Session, Bytes)>, Error> {
        let Some(raw) = self.engine.get(&keys::session(id)).await? else { return Ok(None) };
        Ok(Some((self.read_before.decoded(id, &raw)?, raw)))
    }

    /// Entries of an index by time that are earlier.
    async fn before(&self, prefix: &[u8], before: Timestamp, limit: usize) -> Result<Entries, Error> {
        let range = Range::prefix(prefix, limit).before(keys::at_prefix(prefix, before));
        Ok(self.engine.range(&range).await?)
    }

    /// Revokes one session; says whether it was not revoked before.
    async fn revoke_one(&self, id: SessionId, at: Timestamp) -> Result<bool, Error> {
        for _ in 0..TRIES {
            let Some((mut session, raw)) = self.read(id).await? else { return Ok(false) };
            if session.revoked_at.is_some() {
                return Ok(false);
            }
            session.revoked_at = Some(at);
            let mut commit = Commit::new();
            commit.is(keys::session(id), Some(raw)).put(keys::session(id), encode(&session)?);
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        Err(busy())
    }

    async fn remove(&self, key: Key, indexes: Vec<Key>) -> Result<(), Error> {
        let mut commit = Commit::new();
        commit.delete(key);
        for index in indexes {
            commit.delete(index);
        }
        self.engine.commit(commit).await.map(|_| ()).map_err(refusal)
    }
}

#[async_trait]
impl SessionStore for SessionCollection {
    async fn put(&self, session: &Session) -> Result<(), Error> {
        for _ in 0..TRIES {
            let mut commit = Commit::new();
            if let Some(parent) = session.parent {
                let gone =
                    || Error::unauthenticated("the session that this one rests on has ended; log in again");
                let (record, raw) = self.read(parent).await?.ok_or_else(gone)?;
                if record.revoked_at.is_some() {
                    return Err(gone());
                }
                commit.is(keys::session(parent), Some(raw));
            }
            let own = commit.preconditions.len();
            commit.absent(keys::session(session.id)).put(keys::session(session.id), encode(session)?);
            for index in keys::session_indexes(session) {
                commit.put(index, Bytes::new());
            }
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(index)) if index == own => {
                    return Err(Error::conflict("there is a session of this id already; log in again"));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        Err(busy())
    }

    async fn get(&self, id: SessionId) -> Result<Option<Session>, Error> {
        Ok(self.read(id).await?.map(|(session, _)| session))
    }

    async fn of_owner(&self, owner: &Owner, now: Timestamp, limit: usize) -> Result<Vec<Session>, Error> {
        let prefix = keys::sessions_of(owner);
        let mut range = Range::prefix(&prefix, CHUNK).reversed();
        let mut sessions = Vec::new();
        loop {
            let entries = self.engine.range(&range).await?;
            let ids: Vec<Key> =
                entries.iter().filter_map(|(key, _)| keys::session_at_end(key)).map(keys::session).collect();
            for raw in self.engine.get_many(&ids).await?.into_iter().flatten() {
                let session: Session = decode(&raw)?;
                let lives = session.revoked_at.is_none()
                    && session.expires_at > now
                    && session.user.owner() == *owner;
                if lives && sessions.len() < limit {
                    sessions.push(session);
                }
            }
            match entries.last() {
                Some((last, _)) if entries.len() == CHUNK && sessions.len() < limit => {
                    range = range.before(last.clone());
                }
                _ => return Ok(sessions),
            }
        }
    }

    async fn revoke(&self, id: SessionId, at: Timestamp) -> Result<Vec<SessionId>, Error> {
        let mut open = vec![id];
        let mut revoked = Vec::new();
        while let Some(id) = open.pop() {
            if self.revoke_one(id, at).await? {
                revoked.push(id);
            }
            // Also below one that was revoked before: an earlier revocation may have been cut short.
            let children = self.engine.range(&Range::prefix(&keys::sessions_from(id), DERIVED)).await?;
            open.extend(children.iter().filter_map(|(key, _)| keys::session_at_end(key)));
        }
        Ok(revoked)
    }

    async fn revoke_token(&self, sha256: [u8; 32], until: Timestamp) -> Result<(), Error> {
        let mut commit = Commit::new();
        commit
            .put(keys::token(&sha256), time_bytes(until))
            .put(keys::token_end(until, &sha256), Bytes::new());
        self.engine.commit(commit).await.map(|_| ()).map_err(refusal)
    }

    async fn is_token_revoked(&self, sha256: [u8; 32]) -> Result<bool, Error> {
        Ok(self.engine.get(&keys::token(&sha256)).await?.is_some())
    }

    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let mut forgotten = 0;
        for (index, _) in self.before(keys::SESSION_ENDS, before, limit).await? {
            let Some(id) = keys::session_at_end(&index) else { continue };
            let indexes = match self.read(id).await? {
                Some((session, _)) => keys::session_indexes(&session),
                None => vec![index],
            };
            self.remove(keys::session(id), indexes).await?;
            forgotten += 1;
        }
        for (index, _) in self.before(keys::TOKEN_ENDS, before, limit.saturating_sub(forgotten)).await? {
            let Some(sha256) = keys::digest_at_end(&index) else { continue };
            // Revoked again until later: the later entry is the one that counts.
            let key = keys::token(&sha256);
            let until = self.engine.get(&key).await?;
            let is_last = until.is_none_or(|until| keys::token_end(millis(&until), &sha256) == index);
            self.remove(if is_last { key } else { index.clone() }, vec![index]).await?;
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

fn millis(bytes: &Bytes) -> Timestamp {
    let bytes = <[u8; 8]>::try_from(bytes.as_ref()).unwrap_or_default();
    Timestamp::from_millis(i64::from_be_bytes(bytes))
}

//! What identity asks of durable storage.

use archipel_model::{Error, FederationUser, Owner, SessionId, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A login, as stored. The plugin's own token is sealed under the site's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id; the site token names it.
    pub id: SessionId,
    /// The identity binding that judged the credentials.
    pub binding: String,
    /// The plugin's token, sealed.
    pub sealed_token: Vec<u8>,
    /// The session it was derived from.
    pub parent: Option<SessionId>,
    /// The user at login.
    pub user: FederationUser,
    /// When.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// Sessions and revocations. Writes return after they are durable.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Writes a new session.
    async fn put(&self, session: &Session) -> Result<(), Error>;
    /// One session.
    async fn get(&self, id: SessionId) -> Result<Option<Session>, Error>;
    /// The sessions of an owner that are neither expired nor revoked, newest first, at most `limit`.
    async fn of_owner(&self, owner: &Owner, now: Timestamp, limit: usize) -> Result<Vec<Session>, Error>;
    /// Revokes a session and all that were derived from it; says which. Unknown ids are no error.
    async fn revoke(&self, id: SessionId, at: Timestamp) -> Result<Vec<SessionId>, Error>;
    /// Remembers that a foreign token (by SHA-256) is refused until it expires anyway.
    async fn revoke_token(&self, sha256: [u8; 32], until: Timestamp) -> Result<(), Error>;
    /// Whether a foreign token is refused.
    async fn is_token_revoked(&self, sha256: [u8; 32]) -> Result<bool, Error>;
    /// Removes sessions and revocations that ended before `before`, at most `limit`.
    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error>;
}

//! Own sessions, and their end. A revocation is durable first, then told to everybody, so that the very next request
//! with the token is refused.

use std::time::Duration;

use archipel_model::{Error, SessionId};
use sha2::{Digest, Sha256};

use crate::config::MAX_LISTED_SESSIONS;
use crate::foreign::Claims;
use crate::store::Session;
use crate::{Caller, Identity};

/// A foreign token that does not say when it ends is refused for so long.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Identity {
    /// The caller's live sessions, newest first, at most 100, without their sealed tokens.
    ///
    /// # Errors
    /// `transient`, where the store is away.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>, Error> {
        let mut sessions =
            self.sessions.of_owner(&caller.owner(), self.clock.now(), MAX_LISTED_SESSIONS).await?;
        for session in &mut sessions {
            session.sealed_token.clear();
        }
        Ok(sessions)
    }

    /// Ends the token that the caller came with: its session and all derived from it, or the foreign token itself.
    ///
    /// # Errors
    /// `invalid` for the built-in principal, which has no token; `transient`, where the store is away.
    pub async fn revoke_current(&self, caller: &Caller) -> Result<(), Error> {
        match (caller.session, &caller.token) {
            (Some(session), _) => self.revoke(session).await,
            (None, Some(token)) => {
                let bytes = token.reveal();
                let end = std::str::from_utf8(bytes)
                    .ok()
                    .and_then(Claims::of)
                    .and_then(|claims| claims.expires_at());
                let until = end.unwrap_or_else(|| self.clock.now().plus(FOREVER));
                self.sessions.revoke_token(Sha256::digest(bytes).into(), until).await?;
                self.revoked();
                Ok(())
            }
            (None, None) => Err(Error::invalid("the administrator's socket has no token to revoke")),
        }
    }

    /// Ends a session and all derived from it; unknown ids are no error.
    ///
    /// # Errors
    /// `transient`, where the store is away: then nothing was revoked.
    pub async fn revoke(&self, id: SessionId) -> Result<(), Error> {
        let revoked = self.sessions.revoke(id, self.clock.now()).await?;
        if !revoked.is_empty() {
            tracing::info!(?revoked, "sessions revoked");
        }
        self.revoked();
        Ok(())
    }

    /// Forgets sessions and revocations that have ended, at most `limit`; says how many. For the daemon's upkeep.
    ///
    /// # Errors
    /// `transient`, where the store is away.
    pub async fn forget_ended(&self, limit: usize) -> Result<usize, Error> {
        self.sessions.forget_before(self.clock.now(), limit).await
    }
}

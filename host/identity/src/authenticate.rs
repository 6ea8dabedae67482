//! Per request: whose token is this?
//!
//! 1. A token that was judged a moment ago is answered from the cache (see `cache`).
//! 2. A site token (`arch1.`): signature, audience and end of the envelope; the session, from the store; its revocation
//!    and end; then the inner token is opened and judged by the session's binding. The user must still be the session's.
//! 3. Any other token is routed to one binding (see `foreign`), checked against the revoked ones, and judged.
//!
//! A judgement is reused across operations, so the plugins are told `read` whatever is to be done; what may be done is the
//! authorization chain's to say. It is reused at most until the earliest of: `auth_cache_ttl`, the plugin's validity, the end of the user's
//! statement, of the session, of the token.

use std::sync::Arc;

use archipel_model::plugin::Operation;
use archipel_model::site::{Generation, IdentityBinding};
use archipel_model::{Error, SecretBytes, Timestamp};
use sha2::{Digest, Sha256};

use crate::cache::{KeyHasher, KnownToken};
use crate::config::MAX_TOKEN_BYTES;
use crate::envelope::{Envelope, PREFIX};
use crate::foreign::{Claims, NoBinding, route};
use crate::identity::{away, refused};
use crate::judge::{Judged, judge};
use crate::keys::session_binding;
use crate::rate::host_of;
use crate::{Caller, Identity, RequestInfo};

/// A judged token, and until when that may be reused.
struct Fresh {
    known: KnownToken,
    until: Option<Timestamp>,
}

impl Identity {
    /// Who holds this token.
    ///
    /// `foreign_binding` is the header `Archipel-Identity`: which binding is to judge a token made elsewhere.
    ///
    /// # Errors
    /// `unauthenticated` with one sentence for all reasons; `transient` with the code `aaa-unavailable` where a plugin
    /// is away, or `store-unavailable` where the session cannot be read.
    pub async fn authenticate(
        &self,
        token: &str,
        foreign_binding: Option<&str>,
        request: &RequestInfo,
    ) -> Result<Caller, Error> {
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(refused(request, "it is empty or too long"));
        }
        let generation = self.site.current();
        let now = self.clock.now();
        let epoch = self.caches.epoch();
        let key = token_key(&generation, token, foreign_binding, request);
        if let Some(known) = self.caches.token(&key, now) {
            return Ok(known.caller(generation));
        }
        let fresh = if token.starts_with(PREFIX) {
            self.judge_site_token(&generation, token, request, now).await?
        } else {
            self.judge_foreign_token(&generation, token, foreign_binding, request, now).await?
        };
        let Fresh { known, until } = fresh;
        let bound = now.plus(self.config.auth_cache_ttl);
        let until = [until, known.expires_at].into_iter().flatten().fold(bound, Timestamp::min);
        if until > now {
            self.caches.keep_token(key, known.clone(), epoch, until);
        }
        Ok(known.caller(generation))
    }

    async fn judge_site_token(
        &self,
        generation: &Generation,
        token: &str,
        request: &RequestInfo,
        now: Timestamp,
    ) -> Result<Fresh, Error> {
        let envelope = Envelope::verify(token, &self.keys, &self.config.site, now)
            .map_err(|why| refused(request, why))?;
        let session = self.sessions.get(envelope.session).await?;
        let session = session.ok_or_else(|| refused(request, "its session is unknown"))?;
        if session.revoked_at.is_some() {
            return Err(refused(request, "its session was revoked"));
        }
        if session.expires_at <= now || session.binding != envelope.binding {
            return Err(refused(request, "its session has ended or belongs to another binding"));
        }
        let binding = binding_named(generation, &session.binding, request)?;
        let inner = self.keys.open(&session.sealed_token, &session_binding(session.id, &session.binding));
        let inner = inner.ok_or_else(|| refused(request, "its session was sealed under another key"))?;
        let context = self.context(Operation::Read, request, None, now);
        let judged = judge(binding, &inner, &context, request).await?;
        if judged.user.owner() != session.user.owner() {
            return Err(refused(request, "the plugin now reads another user from the session's token"));
        }
        let end = session.expires_at.min(envelope.expires_at());
        Ok(known(judged, &binding.name, Some(session.id), inner, Some(end)))
    }

    async fn judge_foreign_token(
        &self,
        generation: &Generation,
        token: &str,
        named: Option<&str>,
        request: &RequestInfo,
        now: Timestamp,
    ) -> Result<Fresh, Error> {
        let binding = route(generation, token, named).map_err(|none| match none {
            NoBinding::Unknown if !generation.aaa_away.is_empty() => away(request, "its binding is not loaded", None),
            NoBinding::Unknown => refused(request, "no binding speaks for its issuer or has that name"),
            NoBinding::Refused(why) => refused(request, why),
            NoBinding::NotNamed => Error::unauthenticated(
                "this is not a token of this site; log in here, or name the binding that knows it in the header \
                 Archipel-Identity",
            ),
        })?;
        if self.sessions.is_token_revoked(Sha256::digest(token).into()).await? {
            return Err(refused(request, "it was revoked here"));
        }
        let secret = SecretBytes::new(token);
        let context = self.context(Operation::Read, request, None, now);
        let judged = judge(binding, &secret, &context, request).await?;
        let end = Claims::of(token).and_then(|claims| claims.expires_at());
        if end.is_some_and(|end| end <= now) {
            return Err(refused(request, "it says itself that it has ended"));
        }
        Ok(known(judged, &binding.name, None, secret, end))
    }
}

/// The binding so named. One that is missing because its plugin did not load is away, not wrong.
pub(crate) fn binding_named<'g>(
    generation: &'g Generation,
    name: &str,
    request: &RequestInfo,
) -> Result<&'g IdentityBinding, Error> {
    generation.identity_named(name).ok_or_else(|| {
        if generation.aaa_away.is_empty() {
            refused(request, "its binding is no longer configured")
        } else {
            away(request, &format!("identity binding {name} is not loaded"), None)
        }
    })
}

fn known(
    judged: Judged,
    binding: &str,
    session: Option<archipel_model::SessionId>,
    token: SecretBytes,
    end: Option<Timestamp>,
) -> Fresh {
    let expires_at = [end, judged.user.expires_at].into_iter().flatten().min();
    let group = only_group(&judged.user.groups);
    let known = KnownToken {
        user: judged.user,
        user_digest: judged.digest,
        binding: binding.to_owned(),
        session,
        token,
        expires_at,
        group,
    };
    Fresh { known, until: judged.until }
}

/// The group that someone acts for who names none.
pub(crate) fn only_group(groups: &[String]) -> Option<String> {
    match groups {
        [only] => Some(only.clone()),
        _ => None,
    }
}

impl KnownToken {
    fn caller(self, generation: Arc<Generation>) -> Caller {
        Caller {
            user: self.user,
            binding: self.binding,
            session: self.session,
            token: Some(self.token),
            group: self.group,
            built_in_admin: false,
            generation,
            expires_at: self.expires_at,
            user_digest: self.user_digest,
        }
    }
}

/// Under what a judgement is kept. The address and the requesting site are in it because the plugin was told them.
fn token_key(generation: &Generation, token: &str, named: Option<&str>, request: &RequestInfo) -> [u8; 32] {
    let mut hasher = KeyHasher::new("token");
    hasher.number(generation.number);
    hasher.text(token);
    hasher.optional(named);
    hasher.optional(request.client_address.as_deref().map(host_of).as_deref());
    hasher.optional(request.requesting_site.as_ref().map(AsRef::as_ref));
    hasher.finish()
}

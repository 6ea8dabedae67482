//! Credentials become a session and a site token.
//!
//! generator → (challenge → generator)* → the binding's federation-identity and authentication judge what it issued →
//! the authorization chain is asked for `login` on a `session` → the session is stored, durably → the token is given.
//! A generator that issues what its own identity plugin would refuse makes no session.

use std::sync::Arc;

use archipel_model::plugin::{Challenge, Field, LoginOutcome, Operation, Resource};
use archipel_model::site::{Generation, IdentityBinding};
use archipel_model::{Error, ErrorKind, FederationUser, SecretBytes, SessionId, Timestamp};
use serde::Serialize;

use crate::authenticate::only_group;
use crate::challenge::Pending;
use crate::envelope::Envelope;
use crate::identity::{away, refused};
use crate::judge::{judge, shown};
use crate::keys::session_binding;
use crate::store::Session;
use crate::{Caller, Identity, RATE_LIMITED, RequestInfo, fields};

/// An identity binding, as someone sees it who wants to log in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindingInfo {
    /// Its name.
    pub name: String,
    /// Whom it speaks for.
    pub issuers: Vec<String>,
    /// Whether it makes tokens here; if not, users come with tokens made elsewhere.
    pub login: bool,
    /// What it asks for.
    pub fields: Vec<Field>,
    /// Why it cannot be used now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// How a login goes on.
pub enum Login {
    /// Done.
    Issued {
        /// The site token; shown once.
        token: String,
        /// When it ends.
        expires_at: Timestamp,
        /// Whose it is.
        user: FederationUser,
    },
    /// A further question.
    Challenge {
        /// Who asks.
        binding: String,
        /// What to tell the person.
        prompt: String,
        /// What to ask.
        fields: Vec<Field>,
        /// Where to send the person.
        uri: Option<String>,
        /// Ask again after so many seconds.
        interval_s: Option<u32>,
        /// To be handed back as `continue_state`, unread.
        state: String,
        /// Answer before.
        expires_at: Timestamp,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issued { expires_at, .. } => {
                f.debug_struct("Issued").field("expires_at", expires_at).finish_non_exhaustive()
            }
            Self::Challenge { binding, prompt, .. } => f
                .debug_struct("Challenge")
                .field("binding", binding)
                .field("prompt", prompt)
                .finish_non_exhaustive(),
        }
    }
}

impl Identity {
    /// Which bindings there are and what they ask for. Needs no token, so it tells nothing else.
    pub async fn bindings(&self) -> Vec<BindingInfo> {
        let generation = self.site.current();
        let asked = generation.identity.iter().map(async |binding| {
            let fields = self.fields_of(binding, &RequestInfo::default()).await;
            let away = fields.as_ref().err().map(|error| error.message.clone());
            BindingInfo {
                name: binding.name.clone(),
                issuers: binding.issuers.clone(),
                login: binding.generator.is_some(),
                fields: fields.map(|fields| fields.to_vec()).unwrap_or_default(),
                away,
            }
        });
        futures::future::join_all(asked).await
    }

    /// Credentials, or the answer to a challenge, for a token.
    ///
    /// # Errors
    /// `invalid` (fields named; code `unknown-binding`, `bad-challenge` or `challenge-expired`), `unauthenticated`
    /// (one sentence), `forbidden` (the chain refuses the login), `unsupported` (the binding makes no tokens),
    /// `transient` (`rate-limited`, `aaa-unavailable`, `store-unavailable`).
    pub async fn login(
        &self,
        binding: Option<&str>,
        credentials: Vec<(String, SecretBytes)>,
        continue_state: Option<&str>,
        request: &RequestInfo,
    ) -> Result<Login, Error> {
        let now = self.clock.now();
        self.rate.take(request.client_address.as_deref(), now).map_err(|wait| {
            Error::transient("too many logins from this address; wait and try again")
                .code(RATE_LIMITED)
                .retry_after(wait)
        })?;
        let generation = self.site.current();
        let pending = continue_state.map(|sealed| Pending::open(sealed, &self.keys, now)).transpose()?;
        if let (Some(pending), Some(named)) = (&pending, binding)
            && pending.binding != named
        {
            return Err(Error::invalid("this challenge is of another binding; begin the login again")
                .code("bad-challenge"));
        }
        let named = pending.as_ref().map(|pending| pending.binding.as_str()).or(binding);
        let binding = chosen(&generation, named, request)?;
        let generator = binding.generator.as_ref().ok_or_else(|| {
            Error::unsupported(format!(
                "binding {} makes no tokens; come with one made elsewhere",
                binding.name
            ))
        })?;
        let context = self.context(Operation::Login, request, None, now);
        let outcome = match pending {
            Some(pending) => {
                let filled = fields::fill(&pending.fields, credentials)?;
                generator.continue_token(pending.state, filled, &context).await
            }
            None => {
                let filled = fields::fill(&self.fields_of(binding, request).await?, credentials)?;
                generator.create_token(filled, &context).await
            }
        };
        match outcome.map_err(|error| not_issued(request, &binding.name, &error))? {
            LoginOutcome::Issued { token, expires_at } => {
                self.begin_session(&generation, binding, token, expires_at, request, now).await
            }
            LoginOutcome::Challenge(challenge) => self.challenge(binding, challenge, now),
        }
    }

    async fn begin_session(
        &self,
        generation: &Arc<Generation>,
        binding: &IdentityBinding,
        inner: SecretBytes,
        inner_end: Option<Timestamp>,
        request: &RequestInfo,
        now: Timestamp,
    ) -> Result<Login, Error> {
        let context = self.context(Operation::Login, request, None, now);
        let judged = judge(binding, &inner, &context, request).await?;
        let bound = now.plus(self.config.session_lifetime);
        let expires_at =
            [inner_end, judged.user.expires_at].into_iter().flatten().fold(bound, Timestamp::min);
        // The token counts in whole seconds, so the session ends on one.
        let expires_at_s = expires_at.as_millis().div_euclid(1000);
        let expires_at = Timestamp::from_millis(expires_at_s.saturating_mul(1000));
        if expires_at <= now {
            return Err(refused(request, "the generator issued a token that has ended already"));
        }
        let id = SessionId::generate();
        let caller = Caller {
            group: only_group(&judged.user.groups),
            user: judged.user,
            binding: binding.name.clone(),
            session: Some(id),
            token: Some(inner.clone()),
            built_in_admin: false,
            generation: Arc::clone(generation),
            expires_at: Some(expires_at),
            user_digest: judged.digest,
        };
        self.authorize(&caller, Operation::Login, &self.login_resource(&caller), request).await?;
        let session = Session {
            id,
            binding: binding.name.clone(),
            sealed_token: self.keys.seal(inner.reveal(), &session_binding(id, &binding.name))?,
            parent: None,
            user: caller.user.clone(),
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let envelope = Envelope {
            session: id,
            binding: binding.name.clone(),
            issued_at_s: now.as_millis().div_euclid(1000),
            expires_at_s,
            audience: self.config.site.clone(),
        };
        let token =
            envelope.sign(&self.keys).ok_or_else(|| Error::internal("a site token could not be written"))?;
        self.sessions.put(&session).await?;
        tracing::info!(
            request = %request.request_id, session = %id, binding = binding.name, issuer = shown(&caller.user.issuer),
            subject = shown(&caller.user.subject), "logged in"
        );
        Ok(Login::Issued { token, expires_at, user: caller.user })
    }

    fn challenge(
        &self,
        binding: &IdentityBinding,
        challenge: Challenge,
        now: Timestamp,
    ) -> Result<Login, Error> {
        let expires_at = now.plus(self.config.challenge_lifetime);
        let Challenge { prompt, fields, uri, interval_s, state } = challenge;
        let pending = Pending { binding: binding.name.clone(), state, fields, expires_at };
        let state = pending.seal(&self.keys)?;
        let Pending { binding, fields, .. } = pending;
        Ok(Login::Challenge { binding, prompt, fields, uri, interval_s, state, expires_at })
    }

    fn login_resource(&self, caller: &Caller) -> Resource {
        Resource {
            kind: "session".to_owned(),
            id: None,
            cloud: None,
            site: self.config.site.clone(),
            owner: Some(caller.owner()),
            group: caller.group.clone(),
            state: None,
            labels: Vec::new(),
            spec: None,
            owner_usage: None,
            group_usage: None,
        }
    }

    async fn fields_of(
        &self,
        binding: &IdentityBinding,
        request: &RequestInfo,
    ) -> Result<Arc<Vec<Field>>, Error> {
        let Some(generator) = &binding.generator else { return Ok(Arc::default()) };
        if let Some(known) = self.caches.fields(&binding.digest) {
            return Ok(known);
        }
        let fields = generator.credential_fields().await.map(Arc::new).map_err(|error| {
            away(
                request,
                &format!("token-generator of binding {} did not say its fields", binding.name),
                Some(&error),
            )
        })?;
        self.caches.keep_fields(&binding.digest, Arc::clone(&fields));
        Ok(fields)
    }
}

/// The binding named, or the only one that makes tokens.
fn chosen<'g>(
    generation: &'g Generation,
    named: Option<&str>,
    request: &RequestInfo,
) -> Result<&'g IdentityBinding, Error> {
    let makers: Vec<&IdentityBinding> =
        generation.identity.iter().filter(|binding| binding.generator.is_some()).collect();
    let found = match (named, makers.as_slice()) {
        (Some(name), _) => generation.identity_named(name),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        if !generation.aaa_away.is_empty() {
            return away(request, &generation.aaa_away.join("; "), None);
        }
        let known: Vec<&str> = makers.iter().map(|binding| binding.name.as_str()).collect();
        let text = match (named, known.as_slice()) {
            (_, []) => "no binding of this site makes tokens; come with one made elsewhere".to_owned(),
            (Some(_), known) => format!("unknown binding; this site has: {}", known.join(", ")),
            (None, known) => format!("name a binding; this site has: {}", known.join(", ")),
        };
        Error::invalid(text).code("unknown-binding")
    })
}

/// A generator's error as the client sees it. Whether the name or the password was wrong stays here.
fn not_issued(request: &RequestInfo, binding: &str, error: &Error) -> Error {
    match error.kind {
        ErrorKind::Unauthenticated | ErrorKind::NotFound => {
            let why = shown(&error.message);
            tracing::info!(
                request = %request.request_id, address = ?request.client_address, binding, why, "login refused"
            );
            Error::unauthenticated("these credentials are not accepted; check them and try again")
        }
        ErrorKind::Invalid => Error::invalid(shown(&error.message)),
        ErrorKind::Forbidden => Error::forbidden(shown(&error.message)).code("forbidden"),
        _ => away(request, &format!("token-generator of binding {binding} did not judge"), Some(error)),
    }
}

//! Logging in, whom a token speaks of, and whether it is genuine.

use super::{Context, FederationUser};
use crate::bindings::authentication::exports::archipel::aaa::authentication as wit_authentication;
use crate::bindings::federation_identity::exports::archipel::aaa::federation_identity as wit_identity;
use crate::bindings::token_generator::exports::archipel::aaa::token_generator as wit;
use crate::credentials::Secret;
use crate::error::{Error, Result};
use crate::panics::{call, report};

pub use wit::{Challenge, Field, Issued, Outcome};
pub use wit_authentication::{Validity, Verdict};

/// Interface `archipel:aaa/token-generator`: turns credentials into a token of this plugin. May use the network.
pub trait TokenGenerator {
    /// The fields to ask for; constant.
    fn credential_fields() -> Vec<Field>;

    /// Judges credentials. Wrong ones are `unauthenticated`, and take as long as right ones.
    ///
    /// # Errors
    /// `unauthenticated`, with the same words whatever was wrong; `transient` when it cannot be known.
    fn create_token(credentials: Credentials, context: &Context) -> Result<Outcome>;

    /// Goes on after a challenge. `state` is what the challenge carried.
    ///
    /// # Errors
    /// As `create_token`.
    fn continue_token(state: &str, credentials: Credentials, context: &Context) -> Result<Outcome> {
        let _ = (state, credentials, context);
        Err(Error::unsupported("this login has no second step; log in anew"))
    }
}

/// Interface `archipel:aaa/federation-identity`: says whom a token speaks of.
pub trait FederationIdentity {
    /// The user of a token.
    ///
    /// # Errors
    /// `unauthenticated` for a token that is unreadable, forged or expired.
    fn get_federation_user(token: &Secret) -> Result<FederationUser>;
}

/// Interface `archipel:aaa/authentication`: says whether token and user are genuine now.
pub trait Authentication {
    /// Judges a user and the token it came from.
    ///
    /// # Errors
    /// Only when the plugin cannot judge: a refusal is a [`Verdict`].
    fn is_authentic(user: &FederationUser, token: &Secret, context: &Context) -> Result<Verdict>;
}

impl Field {
    /// A field that is shown while it is typed. `name` is its key in the request.
    #[must_use]
    pub fn text(name: &str, label: &str) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), secret: false, required: true }
    }

    /// A field that the plugin gets as a handle and nobody is shown.
    #[must_use]
    pub fn secret(name: &str, label: &str) -> Self {
        Self { secret: true, ..Self::text(name, label) }
    }

    /// May be left empty.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}

impl Outcome {
    /// Done: the host seals `token` into a session that ends with it (ms since the Unix epoch).
    #[must_use]
    pub fn issued(token: Secret, expires_at: Option<u64>) -> Self {
        Self::Issued(Issued { token, expires_at })
    }
}

impl Verdict {
    /// Genuine, and may be taken so until `until` (ms since the Unix epoch; the host's own limit is shorter).
    #[must_use]
    pub fn genuine_until(until: u64) -> Self {
        Self::Authentic(Some(Validity { until }))
    }

    /// Not genuine. The reason is logged, never sent.
    #[must_use]
    pub fn not_authentic(reason: impl Into<String>) -> Self {
        Self::NotAuthentic(reason.into())
    }
}

/// What a person typed.
#[derive(Debug)]
pub struct Credentials(Vec<wit::Credential>);

impl Credentials {
    /// The text typed into a field that is not secret; none when it was left out.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|given| given.name == name).and_then(|given| match &given.value {
            wit::Value::Text(text) => Some(text.as_str()),
            wit::Value::Secret(_) => None,
        })
    }

    /// The handle of a secret field; none when it was left out.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|given| given.name == name).and_then(|given| match &given.value {
            wit::Value::Secret(secret) => Some(secret),
            wit::Value::Text(_) => None,
        })
    }

    /// Takes the handle of a secret field out, for a plugin that gives it on (a pasted token, for instance).
    pub fn take_secret(&mut self, name: &str) -> Option<Secret> {
        let index = self
            .0
            .iter()
            .position(|given| given.name == name && matches!(given.value, wit::Value::Secret(_)))?;
        match self.0.swap_remove(index).value {
            wit::Value::Secret(secret) => Some(secret),
            wit::Value::Text(_) => None,
        }
    }

    /// As [`Credentials::text`], for a field that must be there.
    ///
    /// # Errors
    /// `invalid`, naming the field.
    pub fn require_text(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::invalid(format!("credential {name:?} is missing")))
    }

    /// As [`Credentials::secret`], for a field that must be there.
    ///
    /// # Errors
    /// `invalid`, naming the field.
    pub fn require_secret(&self, name: &str) -> Result<&Secret> {
        self.secret(name).ok_or_else(|| Error::invalid(format!("credential {name:?} is missing")))
    }
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, wit::Error>;

impl<T: TokenGenerator> wit::Guest for T {
    fn credential_fields() -> Vec<Field> {
        report();
        T::credential_fields()
    }

    fn create_token(credentials: Vec<wit::Credential>, context: Context) -> Answer<Outcome> {
        call(|| T::create_token(Credentials(credentials), &context))
    }

    fn continue_token(state: String, credentials: Vec<wit::Credential>, context: Context) -> Answer<Outcome> {
        call(|| T::continue_token(&state, Credentials(credentials), &context))
    }
}

impl<T: FederationIdentity> wit_identity::Guest for T {
    fn get_federation_user(token: &Secret) -> Answer<FederationUser> {
        call(|| T::get_federation_user(token))
    }
}

impl<T: Authentication> wit_authentication::Guest for T {
    fn is_authentic(user: FederationUser, token: &Secret, context: Context) -> Answer<Verdict> {
        call(|| T::is_authentic(&user, token, &context))
    }
}

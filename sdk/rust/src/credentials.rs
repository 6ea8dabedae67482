//! Secrets as handles: their bytes never enter the plugin, and a handle dies with the call that received it.
//!
//! A secret may be used only where a grant binds it: origin + method + path pattern + placement. There are two ways
//! to use one. [`crate::http::Request::bearer`] and its kin attach it to a request of any size; [`Exchange`] is
//! for small requests with secrets inside the body, or with secrets in the answer (a login): the host captures them
//! into new handles before the plugin sees the rest.

mod exchange;

use crate::bindings::common::archipel::host::credentials as host;
use crate::config::from_json;
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

#[doc(hidden)]
pub use exchange::percent_encoded;
pub use exchange::{Exchange, ExchangeAnswer};
pub use host::{LocalToken, Part, Placement, Secret, Sigv4Scope, Source, UserSession};

impl Secret {
    /// Opens a secret of the site's `[secrets]` by its name. The manifest asks for it under `capabilities.secrets`.
    ///
    /// # Errors
    /// `forbidden` without a grant, `not-found` when the site has none of that name.
    pub fn open(name: &str) -> Result<Self> {
        host::open(name).map_err(Error::from_wit)
    }

    /// The secret itself, for what no placement can do. The manifest asks for it under `capabilities.reveal`, the grant must
    /// list it there, and the site's audit has it each time. Prefer to attach it.
    ///
    /// # Errors
    /// `forbidden` without such a grant.
    pub fn reveal(&self) -> Result<Vec<u8>> {
        host::reveal(self).map_err(Error::from_wit)
    }

    /// Gives bytes that the plugin computed itself to the host's keeping.
    ///
    /// # Errors
    /// Those of the host.
    pub fn wrap(name: &str, bytes: &[u8]) -> Result<Self> {
        host::wrap(name, bytes).map_err(Error::from_wit)
    }
}

impl LocalToken {
    /// Makes a local token. Without `secret` it names an account of a cloud that asks for no credential.
    /// `attributes` is what drivers should know (endpoints, a project's id): any JSON, not secret.
    ///
    /// ```no_run
    /// # use archipel_sdk::prelude::*;
    /// # fn f() -> Result<LocalToken> {
    /// let password = Secret::open("east-password")?;
    /// LocalToken::make("project-7", Some(password), None, &serde_json::json!({"region": "east"}))
    /// # }
    /// ```
    ///
    /// # Errors
    /// `invalid` for an account's name or attributes beyond the host's limits.
    pub fn make(
        account: &str,
        secret: Option<Secret>,
        expires_in: Option<Duration>,
        attributes: &impl Serialize,
    ) -> Result<Self> {
        let attributes = serde_json::to_string(attributes)?;
        let expires_in_ms = expires_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        host::make_local_token(account, secret, expires_in_ms, &attributes).map_err(Error::from_wit)
    }

    /// What the mapper wants drivers to know, typed.
    ///
    /// # Errors
    /// `invalid`, naming the path of what does not fit.
    pub fn attributes_as<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(self.attributes().as_bytes())
            .map_err(|error| Error::invalid(format!("attributes of account {:?}: {error}", self.account())))
    }
}

impl<'a> From<&'a Secret> for Source<'a> {
    fn from(secret: &'a Secret) -> Self {
        Self::Secret(secret)
    }
}

impl<'a> From<&'a LocalToken> for Source<'a> {
    fn from(token: &'a LocalToken) -> Self {
        Self::Token(token)
    }
}

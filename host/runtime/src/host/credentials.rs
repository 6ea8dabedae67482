//! `archipel:host/credentials`: secrets as handles. The work is in `attach`, `exchange`, `insert` and `capture`.

use std::sync::Arc;
use std::time::Duration;

use archipel_bindings::handles::{LocalToken, Secret, UserSession};
use archipel_bindings::latest::archipel::host::credentials::{
    self, ExchangeRequest, ExchangeResponse, HostLocalToken, HostSecret, HostUserSession, Placement, Source,
};
use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::{Error, LocalToken as ModelToken, SecretBytes};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

use super::errors::{by, checked_name};
use super::http::shown;
use super::state::CallState;

/// Bytes of a secret that a plugin gives into keeping.
const MAX_SECRET: usize = 64 * 1024;
/// Bytes of an account's name.
const MAX_ACCOUNT: usize = 4 * 1024;
/// Bytes of a local token's attributes.
const MAX_ATTRIBUTES: usize = 16 * 1024;

/// The name under which grants bind the credential of a local token.
const LOCAL_TOKEN: &str = "local-token";
/// The name under which they bind the user's own token.
const SESSION: &str = "session";

/// Bytes with the name that grants use for them.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) name: String,
    pub(crate) bytes: SecretBytes,
}

impl CallState {
    /// The bytes behind a source.
    pub(crate) fn credential(&self, source: &Source) -> Result<Credential, Error> {
        match source {
            Source::Secret(handle) => {
                let row = self.secret(handle)?;
                Ok(Credential { name: row.name.clone(), bytes: row.bytes.clone() })
            }
            Source::Token(handle) => match &self.local_token(handle)?.secret {
                Some(bytes) => Ok(Credential { name: LOCAL_TOKEN.to_owned(), bytes: bytes.clone() }),
                None => Err(Error::invalid("this local token has no credential: its cloud asks for none")),
            },
        }
    }

    fn open_named(&mut self, name: &str) -> Result<Resource<Secret>, Error> {
        // The same words for "there is none" and "not yours": names of secrets are nobody's business.
        let refused = || {
            Error::forbidden(format!(
                "secret {name:?} is not granted to this plugin; the administrator may add it to `secrets` of its grant"
            ))
        };
        if !self.call.class.may_read() {
            return Err(Error::forbidden("lifecycle.init has no secrets; open them in the call"));
        }
        if !self.binding.grants.may_open(name) {
            return Err(refused());
        }
        let bytes = self.binding.services.vault.open(name).ok_or_else(|| {
            tracing::warn!(plugin = %self.binding.name, secret = name, "a granted secret is not in [secrets]");
            refused()
        })?;
        self.give_secret(name, bytes)
    }

    fn wrap_bytes(&mut self, name: String, bytes: Vec<u8>) -> Result<Resource<Secret>, Error> {
        let bytes = SecretBytes::new(bytes);
        checked_name(&name)?;
        if bytes.reveal().len() > MAX_SECRET {
            return Err(Error::invalid("a secret has at most 64 KiB"));
        }
        self.keep_secret(name, bytes)
    }

    fn make_token(
        &mut self,
        account: String,
        secret: Option<Resource<Secret>>,
        expires_in_ms: Option<u64>,
        attributes: String,
    ) -> Result<Resource<LocalToken>, Error> {
        let secret = secret.map(|handle| self.take_secret(handle)).transpose()?;
        if account.is_empty() || account.len() > MAX_ACCOUNT {
            return Err(Error::invalid("an account's name has 1 byte to 4 KiB"));
        }
        if attributes.len() > MAX_ATTRIBUTES
            || serde_json::from_str::<serde::de::IgnoredAny>(&attributes).is_err()
        {
            return Err(Error::invalid("attributes are JSON of at most 16 KiB"));
        }
        let now = self.binding.services.clock.now();
        self.give_token(ModelToken {
            account,
            secret,
            expires_at: expires_in_ms.map(|ms| now.plus(Duration::from_millis(ms))),
            attributes,
            made_by: self.binding.name.clone(),
        })
    }
}

impl credentials::Host for CallState {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Secret>, WitError>> {
        let pending = self.trace.begin("credentials.open", &name);
        Ok(pending.answer(self.open_named(&name)))
    }

    async fn reveal(&mut self, what: Resource<Secret>) -> wasmtime::Result<Result<Vec<u8>, WitError>> {
        let pending = self.trace.begin("credentials.reveal", "");
        let (bytes, record) = match self.to_reveal(&what) {
            Ok(found) => found,
            Err(error) => return Ok(pending.answer(Err(error))),
        };
        if let Some(record) = record {
            let (audit, deadline) = (Arc::clone(&self.binding.services.audit), self.call.deadline);
            if let Err(error) = by(deadline, audit.tell(&record)).await {
                return Ok(pending.answer(Err(error)));
            }
            self.note_revealed(&record);
        }
        Ok(pending.answer(Ok(bytes.reveal().to_vec())))
    }

    async fn wrap(
        &mut self,
        name: String,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<Resource<Secret>, WitError>> {
        let pending = self.trace.begin("credentials.wrap", &name);
        Ok(pending.answer(self.wrap_bytes(name, bytes)))
    }

    async fn make_local_token(
        &mut self,
        account: String,
        secret: Option<Resource<Secret>>,
        expires_in_ms: Option<u64>,
        attributes: String,
    ) -> wasmtime::Result<Result<Resource<LocalToken>, WitError>> {
        let pending = self.trace.begin("credentials.make-local-token", "");
        Ok(pending.answer(self.make_token(account, secret, expires_in_ms, attributes)))
    }

    async fn attach(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        what: Source,
        how: Placement,
    ) -> wasmtime::Result<Result<(), WitError>> {
        let pending = self.trace.begin("credentials.attach", "");
        let done = self.credential(&what).and_then(|credential| self.attach_to(&request, credential, how));
        Ok(pending.answer(done))
    }

    async fn exchange(
        &mut self,
        request: ExchangeRequest,
    ) -> wasmtime::Result<Result<ExchangeResponse, WitError>> {
        let origin = request.url.parse().map_or_else(|_| "?".to_owned(), |uri| shown(&request.method, &uri));
        let pending = self.trace.begin("credentials.exchange", &origin);
        Ok(pending.answer(self.run_exchange(request).await))
    }
}

impl HostSecret for CallState {
    fn name(&mut self, handle: Resource<Secret>) -> wasmtime::Result<String> {
        // A handle of an earlier call has no name any more, as it has no bytes.
        Ok(self.secret(&handle).map(|row| row.name.clone()).unwrap_or_default())
    }

    fn drop(&mut self, handle: Resource<Secret>) -> wasmtime::Result<()> {
        self.drop_row(handle);
        Ok(())
    }
}

impl HostLocalToken for CallState {
    fn account(&mut self, handle: Resource<LocalToken>) -> wasmtime::Result<String> {
        Ok(self.local_token(&handle).map(|token| token.account.clone()).unwrap_or_default())
    }

    fn expires_in_ms(&mut self, handle: Resource<LocalToken>) -> wasmtime::Result<Option<u64>> {
        let now = self.binding.services.clock.now();
        let expires_at = self.local_token(&handle).ok().and_then(|token| token.expires_at);
        Ok(expires_at.map(|at| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX)))
    }

    fn attributes(&mut self, handle: Resource<LocalToken>) -> wasmtime::Result<String> {
        Ok(self.local_token(&handle).map_or_else(|_| "{}".to_owned(), |token| token.attributes.clone()))
    }

    fn drop(&mut self, handle: Resource<LocalToken>) -> wasmtime::Result<()> {
        self.drop_row(handle);
        Ok(())
    }
}

impl HostUserSession for CallState {
    fn token(&mut self, handle: Resource<UserSession>) -> wasmtime::Result<Resource<Secret>> {
        let bytes = self
            .session(&handle)
            .map(|session| session.token.clone())
            .unwrap_or_else(|_| SecretBytes::new(Vec::new()));
        self.give_secret(SESSION, bytes).map_err(|error| wasmtime::format_err!("{error}"))
    }

    fn drop(&mut self, handle: Resource<UserSession>) -> wasmtime::Result<()> {
        self.drop_row(handle);
        Ok(())
    }
}

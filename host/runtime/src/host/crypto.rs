//! `archipel:host/crypto`: keys stay in the host.
//!
//! Each binding and purpose has a key of its own, and the host sets issuer, audience and times: a plugin that may sign
//! for one purpose cannot mint what another binding, another purpose or the site itself would accept.

use std::sync::Arc;
use std::time::Instant;

use archipel_bindings::handles::Secret;
use archipel_bindings::latest::archipel::host::crypto;
use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::{Error, SecretBytes};
use archipel_vault::{Keys, Signer};
use serde_json::{Map, Value};
use wasmtime::component::Resource;

use super::errors::by;
use super::http::Outbound;
use super::jwks::{Jwks, Question};
use super::passwords::Passwords;
use super::state::CallState;

/// Kind of token, in its header: never taken for one of the site's own.
const TYPE: &str = "archipel-plugin+jwt";
/// Bytes of claims.
const MAX_CLAIMS: usize = 16 * 1024;
/// Seconds by which a token of ours may seem to be from the future after the clock was set back.
const SKEW_S: i64 = 60;

/// What the crypto imports of all bindings rest on.
pub struct HostCrypto {
    keys: Arc<Keys>,
    issuers: Jwks,
    passwords: Passwords,
}

impl HostCrypto {
    /// With the site's keys.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys, issuers: Jwks::default(), passwords: Passwords::new() }
    }

    /// The key of one binding for one purpose.
    pub(crate) fn signer(&self, binding: &str, purpose: &str) -> Signer {
        self.keys.signer(&["plugin", binding, purpose])
    }
}

impl CallState {
    fn signer(&self, purpose: &str) -> Result<(&Signer, u32), Error> {
        self.binding.signer(purpose).ok_or_else(|| {
            Error::forbidden(format!("purpose {purpose:?} is not granted to this plugin; the administrator may add it to `crypto` of its grant"))
        })
    }

    fn audience(&self, purpose: &str) -> String {
        format!("archipel:{}:{purpose}", self.binding.name)
    }

    fn now_s(&self) -> i64 {
        self.binding.services.clock.now().as_millis().div_euclid(1000)
    }

    fn sign_claims(
        &mut self,
        purpose: &str,
        claims: &str,
        lifetime_s: u32,
    ) -> Result<Resource<Secret>, Error> {
        if !self.call.class.may_read() {
            return Err(Error::forbidden("lifecycle.init has no keys; sign in the call"));
        }
        let (signer, longest) = self.signer(purpose)?;
        if self.binding.shadow {
            return Err(Error::forbidden("nothing is signed for a candidate in the shadow of another"));
        }
        if claims.len() > MAX_CLAIMS {
            return Err(Error::invalid("claims have at most 16 KiB"));
        }
        let mut claims: Map<String, Value> =
            serde_json::from_str(claims).map_err(|_| Error::invalid("claims are a JSON object"))?;
        if lifetime_s == 0 {
            return Err(Error::invalid("a token lives for at least one second"));
        }
        let now = self.now_s();
        claims.insert("iss".to_owned(), self.binding.services.site.as_str().into());
        claims.insert("aud".to_owned(), self.audience(purpose).into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), (now + i64::from(lifetime_s.min(longest))).into());
        let token = signer.sign(TYPE, &claims);
        self.give_secret(format!("signed.{purpose}"), SecretBytes::new(token.into_bytes()))
    }

    fn verify_own(&self, purpose: &str, token: &Resource<Secret>) -> Result<String, Error> {
        let (signer, _) = self.signer(purpose)?;
        let refused = || Error::unauthenticated("not a valid token of this binding and purpose");
        let claims = signer.verify(TYPE, self.secret(token)?.bytes.reveal()).map_err(|_| refused())?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| claims.get(name).and_then(Value::as_i64);
        let ours = text("iss") == Some(self.binding.services.site.as_str())
            && text("aud") == Some(self.audience(purpose).as_str());
        let now = self.now_s();
        let current =
            time("exp").is_some_and(|exp| exp > now) && time("iat").is_some_and(|iat| iat <= now + SKEW_S);
        if ours && current { Ok(Value::Object(claims).to_string()) } else { Err(refused()) }
    }

    /// The bytes behind a handle, to be used after `self` is no longer borrowed: a store is not `Sync`, so nothing that
    /// waits may look at it.
    fn bytes(&self, handle: &Resource<Secret>) -> Result<SecretBytes, Error> {
        self.secret(handle).map(|row| row.bytes.clone())
    }

    fn services(&self) -> (Arc<HostCrypto>, Instant) {
        (Arc::clone(&self.binding.services.crypto), self.call.deadline)
    }
}

async fn verify_foreign(
    token: Result<SecretBytes, Error>,
    outbound: Outbound,
    issuer: &str,
    audience: Option<&str>,
    now_s: i64,
) -> Result<String, Error> {
    let token = token?;
    if !outbound.may_connect() {
        return Err(Error::forbidden("lifecycle.init has no network; use lifecycle.refresh"));
    }
    let binding = &outbound.binding;
    let question = Question {
        binding: &binding.name,
        issuer,
        audience,
        channel: binding.channel(),
        options: outbound.options(),
        now_s,
    };
    let claims = binding.services.crypto.issuers.verify(token.reveal(), &question).await?;
    Ok(Value::Object(claims).to_string())
}

impl crypto::Host for CallState {
    async fn verify_jws(
        &mut self,
        token: Resource<Secret>,
        issuer: String,
        audience: Option<String>,
    ) -> wasmtime::Result<Result<String, WitError>> {
        let pending = self.trace.begin("crypto.verify-jws", &issuer);
        let (deadline, now_s) = (self.call.deadline, self.now_s());
        let work =
            verify_foreign(self.bytes(&token), self.hooks.outbound(), &issuer, audience.as_deref(), now_s);
        Ok(pending.answer(by(deadline, work).await))
    }

    async fn sign(
        &mut self,
        purpose: String,
        claims: String,
        lifetime_s: u32,
    ) -> wasmtime::Result<Result<Resource<Secret>, WitError>> {
        let pending = self.trace.begin("crypto.sign", &purpose);
        Ok(pending.answer(self.sign_claims(&purpose, &claims, lifetime_s)))
    }

    async fn verify(
        &mut self,
        purpose: String,
        token: Resource<Secret>,
    ) -> wasmtime::Result<Result<String, WitError>> {
        let pending = self.trace.begin("crypto.verify", &purpose);
        Ok(pending.answer(self.verify_own(&purpose, &token)))
    }

    async fn hash_password(
        &mut self,
        password: Resource<Secret>,
    ) -> wasmtime::Result<Result<String, WitError>> {
        let pending = self.trace.begin("crypto.hash-password", "");
        let (password, (crypto, deadline)) = (self.bytes(&password), self.services());
        Ok(pending.answer(by(deadline, async move { crypto.passwords.hash(password?).await }).await))
    }

    async fn check_password(
        &mut self,
        password: Resource<Secret>,
        phc: String,
    ) -> wasmtime::Result<Result<bool, WitError>> {
        let pending = self.trace.begin("crypto.check-password", "");
        let (password, (crypto, deadline)) = (self.bytes(&password), self.services());
        Ok(pending.answer(by(deadline, async move { crypto.passwords.check(password?, phc).await }).await))
    }
}

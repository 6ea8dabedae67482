//! Published keys of issuers: found by OpenID Connect Discovery 1.0 over the binding's own egress channel (so the grant
//! decides which issuers exist), kept for ten minutes, fetched once however many calls wait for them.
//!
//! A token with a key id that is not known makes us look again, at most every thirty seconds: keys are rotated, and
//! anybody can write a key id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_egress::{Channel, Origin, SendOptions};
use archipel_model::Error;
use archipel_vault::jws;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use openidconnect::core::{
    CoreJsonWebKey, CoreJsonWebKeySet, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{JsonWebKey, JsonWebKeyId};
use serde_json::{Map, Value};

/// How long keys are used without asking again.
const FRESH: Duration = Duration::from_secs(600);
/// Between two looks for an unknown key id.
const PAUSE: Duration = Duration::from_secs(30);
/// After a failure to fetch what is not there yet: keeps a dead issuer from holding up every login in turn.
const RETRY: Duration = Duration::from_secs(3);
/// Bytes of a discovery document or key set.
const MAX_DOCUMENT: usize = 1024 * 1024;
/// Issuers that are remembered over all bindings.
const MAX_ISSUERS: usize = 256;
/// Clocks of issuers may differ from ours by so many seconds.
const LEEWAY_S: i64 = 30;

/// Keys by binding and issuer.
#[derive(Default)]
pub(crate) struct Jwks {
    issuers: Mutex<HashMap<(String, String), Slot>>,
}

/// One issuer; its lock is held while its keys are fetched, so that many callers share one fetch.
type Slot = Arc<tokio::sync::Mutex<Cached>>;

/// What is known of one issuer.
#[derive(Default)]
struct Cached {
    keys: Option<(CoreJsonWebKeySet, Instant)>,
    asked: Option<Instant>,
}

/// Whose token, and how its keys are fetched.
pub(crate) struct Question<'a> {
    pub(crate) binding: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) audience: Option<&'a str>,
    pub(crate) channel: &'a Channel,
    pub(crate) options: SendOptions,
    pub(crate) now_s: i64,
}

impl Jwks {
    /// The claims of a token, if the issuer signed it, for this audience, and it is valid now.
    pub(crate) async fn verify(
        &self,
        token: &[u8],
        question: &Question<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let forged = |_| Error::unauthenticated("not a token that this issuer signed");
        let parts = jws::split(token).map_err(forged)?;
        let algorithm = asymmetric(&parts.header.alg)?;
        let cached = self.cached(question);
        let mut cached = cached.lock().await;
        let mut keys = cached.keys(question, false).await?;
        if !candidates(keys, parts.header.kid.as_deref()).any(|_| true) {
            keys = cached.keys(question, true).await?;
        }
        let signed = candidates(keys, parts.header.kid.as_deref())
            .any(|key| key.verify_signature(&algorithm, parts.signing_input, &parts.signature).is_ok());
        drop(cached);
        if !signed {
            return Err(Error::unauthenticated("not a token that this issuer signed"));
        }
        let claims = parts.claims().map_err(forged)?;
        check_claims(&claims, question.issuer, question.audience, question.now_s)?;
        Ok(claims)
    }

    fn cached(&self, question: &Question<'_>) -> Arc<tokio::sync::Mutex<Cached>> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if issuers.len() >= MAX_ISSUERS {
            // Those that nobody waits for; they are fetched again when they are needed.
            issuers.retain(|_, cached| Arc::strong_count(cached) > 1);
        }
        Arc::clone(issuers.entry((question.binding.to_owned(), question.issuer.to_owned())).or_default())
    }
}

impl Cached {
    /// The keys: those kept if they are fresh, unless `again`, and the old ones where the issuer is away.
    async fn keys(&mut self, question: &Question<'_>, again: bool) -> Result<&CoreJsonWebKeySet, Error> {
        let fresh = self.keys.as_ref().is_some_and(|(_, since)| since.elapsed() < FRESH);
        let pause = if self.keys.is_some() { PAUSE } else { RETRY };
        let may_ask = self.asked.is_none_or(|asked| asked.elapsed() >= pause);
        if (!fresh || again) && may_ask {
            self.asked = Some(Instant::now());
            match discover(question).await {
                Ok(keys) => self.keys = Some((keys, Instant::now())),
                Err(error) if self.keys.is_none() => return Err(error),
                Err(error) => {
                    tracing::warn!(issuer = question.issuer, %error, "an issuer's keys could not be fetched again; the old ones stay")
                }
            }
        }
        self.keys.as_ref().map(|(keys, _)| keys).ok_or_else(|| {
            Error::transient(format!("the keys of {} could not be fetched a moment ago", question.issuer))
                .retry_after(RETRY)
        })
    }
}

/// Discovery by hand and not by `discover_async`: that future cannot be shown to be `Send` here (its client is generic
/// over a lifetime), and the steps are two.
async fn discover(question: &Question<'_>) -> Result<CoreJsonWebKeySet, Error> {
    let issuer = question.issuer;
    let unusable = |why: &str| Error::transient(format!("{issuer} publishes no usable keys: {why}"));
    if Origin::of_url(issuer).is_err() || issuer.contains(['?', '#']) {
        return Err(Error::invalid("an issuer is a URL without query"));
    }
    let document =
        fetch(question, &format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
            .await?;
    let metadata: CoreProviderMetadata =
        serde_json::from_slice(&document).map_err(|_| unusable("its discovery document is malformed"))?;
    // Section 4.3: else anyone could publish keys in another's name.
    if metadata.issuer().as_str() != issuer {
        return Err(unusable("its discovery document is of another issuer"));
    }
    let keys = fetch(question, metadata.jwks_uri().as_str()).await?;
    serde_json::from_slice(&keys).map_err(|_| unusable("its key set is malformed"))
}

async fn fetch(question: &Question<'_>, url: &str) -> Result<Bytes, Error> {
    let request = Request::get(url).header(ACCEPT, "application/json").body(Empty::<Bytes>::new());
    let request = request.map_err(|_| Error::invalid("an issuer is a URL"))?;
    let response = question.channel.send(request, question.options.clone()).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::transient(format!("{url} answers {}", response.status())));
    }
    let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await;
    Ok(body.map_err(|error| Error::transient(format!("{url}: {error}")))?.to_bytes())
}

/// Keys that may have signed: those of this id, or all if the token names none. Encryption keys never.
fn candidates<'a>(
    keys: &'a CoreJsonWebKeySet,
    kid: Option<&str>,
) -> impl Iterator<Item = &'a CoreJsonWebKey> {
    let wanted = kid.map(|kid| JsonWebKeyId::new(kid.to_owned()));
    keys.keys()
        .iter()
        .filter(|key| key.key_use().is_none_or(|purpose| *purpose == CoreJsonWebKeyUse::Signature))
        .filter(move |key| wanted.is_none() || key.key_id() == wanted.as_ref())
}

/// The algorithm, if it is one of public keys: `none` proves nothing, and `HS256` would take a public key for a secret.
fn asymmetric(alg: &str) -> Result<CoreJwsSigningAlgorithm, Error> {
    match alg {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "EdDSA" => {
            serde_json::from_value(Value::from(alg))
                .map_err(|_| Error::unauthenticated("unknown signature algorithm"))
        }
        _ => Err(Error::unauthenticated("tokens are signed with RS, PS or ES 256/384/512 or EdDSA")),
    }
}

/// `iss`, `exp`, `nbf` and `aud` (RFC 7519, section 4.1).
fn check_claims(
    claims: &Map<String, Value>,
    issuer: &str,
    audience: Option<&str>,
    now_s: i64,
) -> Result<(), Error> {
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(Error::unauthenticated("the token is of another issuer"));
    }
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().filter(|at| at.is_finite()));
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
    let now = now_s as f64;
    #[allow(clippy::cast_precision_loss, reason = "a small constant")]
    let leeway = LEEWAY_S as f64;
    match time("exp") {
        Some(Some(exp)) if exp + leeway > now => {}
        _ => return Err(Error::unauthenticated("the token has expired, or does not say when it does")),
    }
    match time("nbf") {
        None => {}
        Some(Some(nbf)) if nbf - leeway <= now => {}
        Some(_) => return Err(Error::unauthenticated("the token is not valid yet")),
    }
    let Some(audience) = audience else { return Ok(()) };
    let meant = match claims.get("aud") {
        Some(Value::String(aud)) => aud == audience,
        Some(Value::Array(list)) => list.iter().any(|aud| aud == audience),
        _ => false,
    };
    if meant { Ok(()) } else { Err(Error::unauthenticated("the token is for another audience")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(claims: Value, audience: Option<&str>) -> Result<(), Error> {
        check_claims(claims.as_object().unwrap(), "https://i.test", audience, 1_000_000)
    }

    #[test]
    fn issuer_times_and_audience_are_checked() {
        let good = json!({"iss": "https://i.test", "exp": 1_000_100, "nbf": 999_000, "aud": ["a", "site"]});
        assert!(check(good.clone(), Some("site")).is_ok());
        assert!(check(good.clone(), None).is_ok());
        assert!(check(good.clone(), Some("other")).is_err());
        for (key, value) in [
            ("iss", json!("https://i.test/")),
            ("iss", json!(null)),
            ("exp", json!(999_000)),
            ("exp", json!("2000000")),
            ("exp", json!(null)),
            ("nbf", json!(1_000_100)),
            ("nbf", json!("x")),
            ("aud", json!("si")),
            ("aud", json!(null)),
        ] {
            let mut claims = good.clone();
            claims[key] = value.clone();
            assert!(check(claims, Some("site")).is_err(), "{key} = {value}");
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert!(check(json!({"iss": "https://i.test", "exp": 999_980, "nbf": 1_000_020}), None).is_ok());
        assert!(check(json!({"iss": "https://i.test", "exp": 999_960}), None).is_err());
    }

    #[test]
    fn only_public_key_algorithms_are_taken() {
        for alg in ["none", "HS256", "HS512", "RSA1_5", "rs256", ""] {
            assert!(asymmetric(alg).is_err(), "{alg}");
        }
        for alg in ["RS256", "PS512", "ES256", "EdDSA"] {
            assert!(asymmetric(alg).is_ok(), "{alg}");
        }
    }
}

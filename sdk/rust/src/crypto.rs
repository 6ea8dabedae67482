//! Cryptography with keys that stay in the host.
//!
//! A purpose (`"session"`) is one that the manifest asks for under `capabilities.crypto`; the host keeps a key per
//! binding and purpose and fixes issuer, audience and times, so no plugin can mint what another one trusts.

use crate::bindings::common::archipel::host::crypto as host;
use crate::config::from_json;
use crate::credentials::Secret;
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Verifies a JWS against the published keys of `issuer` and returns its claims. The host checks signature, `iss`,
/// `exp`, `nbf` and, if given, `aud`.
///
/// # Errors
/// `unauthenticated` for a bad token, `forbidden` for an issuer that no grant names, `transient` when its keys
/// cannot be fetched.
pub fn verify_jws<Claims: DeserializeOwned>(
    token: &Secret,
    issuer: &str,
    audience: Option<&str>,
) -> Result<Claims> {
    claims(&host::verify_jws(token, issuer, audience).map_err(Error::from_wit)?)
}

/// Signs claims for a granted purpose.
///
/// # Errors
/// `forbidden` for a purpose that no grant names, `invalid` when the claims are no JSON object.
pub fn sign(purpose: &str, claims: &impl Serialize, lifetime: Duration) -> Result<Secret> {
    let claims = serde_json::to_string(claims)?;
    let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
    host::sign(purpose, &claims, seconds).map_err(Error::from_wit)
}

/// Verifies what [`sign`] made for the same binding and purpose, and returns its claims.
///
/// # Errors
/// `unauthenticated` for a token that is forged, expired or for another purpose.
pub fn verify<Claims: DeserializeOwned>(purpose: &str, token: &Secret) -> Result<Claims> {
    claims(&host::verify(purpose, token).map_err(Error::from_wit)?)
}

/// Hashes a password with argon2id into a PHC string.
///
/// # Errors
/// Those of the host.
pub fn hash_password(password: &Secret) -> Result<String> {
    host::hash_password(password).map_err(Error::from_wit)
}

/// Whether a password fits a PHC string, in constant time.
///
/// # Errors
/// `invalid` for a malformed hash.
pub fn check_password(password: &Secret, phc: &str) -> Result<bool> {
    host::check_password(password, phc).map_err(Error::from_wit)
}

/// Claims of another shape than expected mean another kind of token.
fn claims<T: DeserializeOwned>(json: &str) -> Result<T> {
    from_json(json.as_bytes())
        .map_err(|error| Error::unauthenticated(format!("the token's claims are not as expected: {error}")))
}

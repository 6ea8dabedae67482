//! Compact JWS (RFC 7515): three base64url parts. Only taking apart and putting together; who trusts which key is
//! decided elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::VaultError;

/// Longer tokens are refused unread.
pub const MAX_TOKEN: usize = 64 * 1024;

/// The part of a header that we use.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// The algorithm.
    pub alg: String,
    /// The kind of token.
    #[serde(default)]
    pub typ: Option<String>,
    /// The key's name.
    #[serde(default)]
    pub kid: Option<String>,
    /// Extensions that must be understood; we understand none, so a token that has any is refused.
    #[serde(default)]
    pub crit: Option<Value>,
}

/// A token taken apart; nothing in it is checked yet.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The header.
    pub header: Header,
    /// What was signed.
    pub signing_input: &'a [u8],
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Parts<'_> {
    /// The payload as claims.
    ///
    /// # Errors
    /// `NotAToken` if it is no JSON object.
    pub fn claims(&self) -> Result<Map<String, Value>, VaultError> {
        serde_json::from_slice(&self.payload).map_err(|_| VaultError::NotAToken)
    }
}

/// Takes a compact JWS apart.
///
/// # Errors
/// `NotAToken`.
pub fn split(token: &[u8]) -> Result<Parts<'_>, VaultError> {
    if token.len() > MAX_TOKEN {
        return Err(VaultError::NotAToken);
    }
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(VaultError::NotAToken);
    };
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| VaultError::NotAToken);
    let signing_input = token.get(..header.len() + 1 + payload.len()).ok_or(VaultError::NotAToken)?;
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| VaultError::NotAToken)?;
    if header.crit.is_some() {
        return Err(VaultError::NotAToken);
    }
    Ok(Parts { header, signing_input, payload: decode(payload)?, signature: decode(signature)? })
}

/// The bytes to sign.
pub fn signing_input(alg: &str, typ: &str, kid: &str, claims: &Map<String, Value>) -> String {
    let header = json!({"alg": alg, "typ": typ, "kid": kid}).to_string();
    let claims = serde_json::to_string(claims).unwrap_or_default();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// Appends the signature.
pub fn join(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_compact_jws_is_refused() {
        let long = vec![b'a'; MAX_TOKEN + 1];
        for wrong in [&b""[..], b"a", b"a.b", b"a.b.c.d", b"!.!.!", b"e30.e30.", &long] {
            assert!(matches!(split(wrong), Err(VaultError::NotAToken)));
        }
    }

    #[test]
    fn a_token_with_critical_extensions_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#);
        assert!(split(format!("{header}.e30.AA").as_bytes()).is_err());
    }
}

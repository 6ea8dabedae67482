//! Tokens that were made elsewhere: which binding is to judge one. Never by trying all.
//!
//! | token | header `Archipel-Identity` | judged by |
//! |---|---|---|
//! | JWT | none | the one binding whose `issuers` lists its `iss`; none or several: refused |
//! | JWT | names a binding | that binding, if its `issuers` lists the `iss`; else refused |
//! | opaque | names a binding | that binding |
//! | opaque | none | refused |
//!
//! A JWT is read here without trust, for its `iss` alone (and, once the plugins judged it, for its end).

use archipel_model::Timestamp;
use archipel_model::site::{Generation, IdentityBinding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// What a JWT says of itself.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    #[serde(default)]
    exp: Option<f64>,
}

impl Claims {
    /// Reads a JWT's claims without trust; `None` when it is not a JWT (RFC 7519, compact form).
    pub(crate) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&header).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// When the JWT says that it ends.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let seconds = self.exp.filter(|seconds| seconds.is_finite() && *seconds > 0.0 && *seconds < 9e12)?;
        #[allow(clippy::cast_possible_truncation, reason = "bounded just above")]
        Some(Timestamp::from_millis((seconds * 1000.0) as i64))
    }
}

/// Why no binding is to judge a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBinding {
    /// An opaque token without the header.
    NotNamed,
    /// For the log.
    Refused(&'static str),
    /// No binding of that name or issuer serves now.
    Unknown,
}

/// The binding that is to judge a foreign token.
pub(crate) fn route<'g>(
    generation: &'g Generation,
    token: &str,
    named: Option<&str>,
) -> Result<&'g IdentityBinding, NoBinding> {
    let claims = Claims::of(token);
    if let Some(name) = named {
        let binding = generation.identity_named(name).ok_or(NoBinding::Unknown)?;
        return match claims {
            Some(claims) if !binding.issuers.contains(&claims.iss) => {
                Err(NoBinding::Refused("the binding named may not speak for its issuer"))
            }
            _ => Ok(binding),
        };
    }
    let claims = claims.ok_or(NoBinding::NotNamed)?;
    let mut speaking = generation.identity.iter().filter(|binding| binding.issuers.contains(&claims.iss));
    let binding = speaking.next().ok_or(NoBinding::Unknown)?;
    if speaking.next().is_some() {
        return Err(NoBinding::Refused(
            "several bindings speak for its issuer; Archipel-Identity must name one",
        ));
    }
    Ok(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part("{\"alg\":\"RS256\"}"), part(payload), part("signature"))
    }

    #[test]
    fn a_jwt_is_known_by_its_three_parts() {
        let claims = Claims::of(&jwt(r#"{"iss":"https://idp","exp":1500000000}"#)).unwrap();
        assert_eq!(claims.iss, "https://idp");
        assert_eq!(claims.expires_at(), Some(Timestamp::from_millis(1_500_000_000_000)));
        for opaque in
            ["opaque", "a.b.c", "", "..", &jwt("{}"), &jwt("[]"), &format!("{}.d", jwt(r#"{"iss":"x"}"#))]
        {
            assert_eq!(Claims::of(opaque), None, "{opaque}");
        }
    }

    #[test]
    fn an_odd_end_is_no_end() {
        for exp in ["-1", "1e300", "0"] {
            assert_eq!(
                Claims::of(&jwt(&format!(r#"{{"iss":"x","exp":{exp}}}"#))).unwrap().expires_at(),
                None
            );
        }
    }
}

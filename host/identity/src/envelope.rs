//! The site token: an envelope, signed by the host, that names a durable session.
//!
//! `arch1.` + base64url(payload) + `.` + base64url(Ed25519 signature over everything before the last dot). The payload
//! is JSON: `sid` the session, `bnd` the identity binding, `iat` and `exp` in seconds, `aud` the site. Nothing in it is
//! secret, and nothing in it is believed before the signature holds.

use archipel_model::{SessionId, SiteId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::SiteKeys;

/// What every site token begins with.
pub(crate) const PREFIX: &str = "arch1.";

/// What a site token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    #[serde(rename = "sid")]
    pub(crate) session: SessionId,
    #[serde(rename = "bnd")]
    pub(crate) binding: String,
    #[serde(rename = "iat")]
    pub(crate) issued_at_s: i64,
    #[serde(rename = "exp")]
    pub(crate) expires_at_s: i64,
    #[serde(rename = "aud")]
    pub(crate) audience: SiteId,
}

impl Envelope {
    /// Writes and signs it. `None`, should serialisation fail.
    pub(crate) fn sign(&self, keys: &SiteKeys) -> Option<String> {
        let payload = serde_json::to_vec(self).ok()?;
        let mut token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = keys.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// Verifies and reads a token for this site at this time.
    ///
    /// # Errors
    /// Why it is refused, for the log.
    pub(crate) fn verify(
        token: &str,
        keys: &SiteKeys,
        site: &SiteId,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("it has no signature")?;
        let payload = signed.strip_prefix(PREFIX).ok_or("it is not a site token")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "its signature is not base64url")?;
        if !keys.verifies(signed.as_bytes(), &signature) {
            return Err("its signature is wrong");
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "its payload is not base64url")?;
        let envelope: Self = serde_json::from_slice(&payload).map_err(|_| "its payload is not ours")?;
        if envelope.audience != *site {
            return Err("it is for another site");
        }
        if envelope.expires_at() <= now {
            return Err("it has expired");
        }
        Ok(envelope)
    }

    /// When it ends.
    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_at_s.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            session: SessionId::generate(),
            binding: "local".into(),
            issued_at_s: 1_000,
            expires_at_s: 2_000,
            audience: "site-a.example.org".parse().unwrap(),
        }
    }

    #[test]
    fn a_signed_envelope_is_read_back_until_it_ends() {
        let keys = SiteKeys::from_master(&[1; 32]);
        let envelope = envelope();
        let token = envelope.sign(&keys).unwrap();
        let at = |ms| Envelope::verify(&token, &keys, &envelope.audience, Timestamp::from_millis(ms));
        assert_eq!(at(1_999_999).unwrap(), envelope);
        assert_eq!(at(2_000_000), Err("it has expired"));
    }

    #[test]
    fn every_bent_byte_is_noticed() {
        let keys = SiteKeys::from_master(&[1; 32]);
        let envelope = envelope();
        let token = envelope.sign(&keys).unwrap();
        let now = Timestamp::from_millis(1_500_000);
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bytes).unwrap();
            assert!(Envelope::verify(&bent, &keys, &envelope.audience, now).is_err(), "place {place}");
        }
        for cut in 0..token.len() {
            assert!(Envelope::verify(&token[..cut], &keys, &envelope.audience, now).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn another_key_and_another_site_are_refused() {
        let envelope = envelope();
        let now = Timestamp::from_millis(1_500_000);
        let token = envelope.sign(&SiteKeys::from_master(&[1; 32])).unwrap();
        let forged = Envelope::verify(&token, &SiteKeys::from_master(&[2; 32]), &envelope.audience, now);
        assert_eq!(forged, Err("its signature is wrong"));
        let elsewhere = "site-b.example.org".parse().unwrap();
        let misused = Envelope::verify(&token, &SiteKeys::from_master(&[1; 32]), &elsewhere, now);
        assert_eq!(misused, Err("it is for another site"));
    }
}

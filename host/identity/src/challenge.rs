//! A login's further question. The plugin's state goes through the client's hands sealed, with the binding, the fields
//! asked for and the end, so that nothing about a half-done login lies in the host.

use archipel_model::plugin::Field;
use archipel_model::{Error, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::SiteKeys;
use crate::config::MAX_CHALLENGE_BYTES;

/// What the sealed bytes are bound to.
const PURPOSE: &[u8] = b"login challenge";

/// What a client brings back.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) binding: String,
    pub(crate) state: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) expires_at: Timestamp,
}

impl Pending {
    /// Sealed, as a client sees it.
    ///
    /// # Errors
    /// `permanent`, where the plugin's state is too large to hand around.
    pub(crate) fn seal(&self, keys: &SiteKeys) -> Result<String, Error> {
        let written = serde_json::to_vec(self)
            .map_err(|_| Error::internal("a challenge could not be written as JSON"))?;
        let sealed = URL_SAFE_NO_PAD.encode(keys.seal(&written, PURPOSE)?);
        if sealed.len() > MAX_CHALLENGE_BYTES {
            return Err(Error::permanent(format!(
                "the login plugin's challenge is larger than {MAX_CHALLENGE_BYTES} bytes; tell the site's administrator"
            )));
        }
        Ok(sealed)
    }

    /// Opens what a client brought back.
    ///
    /// # Errors
    /// `invalid`, where it is not ours or has ended.
    pub(crate) fn open(sealed: &str, keys: &SiteKeys, now: Timestamp) -> Result<Self, Error> {
        let not_ours =
            || Error::invalid("this challenge is not from here; begin the login again").code("bad-challenge");
        if sealed.len() > MAX_CHALLENGE_BYTES {
            return Err(not_ours());
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| not_ours())?;
        let plain = keys.open(&bytes, PURPOSE).ok_or_else(not_ours)?;
        let pending: Self = serde_json::from_slice(plain.reveal()).map_err(|_| not_ours())?;
        if pending.expires_at <= now {
            return Err(
                Error::invalid("this challenge has ended; begin the login again").code("challenge-expired")
            );
        }
        Ok(pending)
    }
}

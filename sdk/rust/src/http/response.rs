//! The answer, read to its end.

use super::status_error;
use crate::config::from_json;
use crate::error::{Applied, Error, Result};
use serde::de::DeserializeOwned;

/// An answer of any status.
#[derive(Debug, Clone)]
pub struct Response {
    pub(super) what: String,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// All headers, in the order they came.
    #[must_use]
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// The first header of that name, in any case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body, typed.
    ///
    /// # Errors
    /// `permanent`, naming the path of what does not fit. It says that the far side may have acted: an answer that
    /// cannot be read is an answer.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(&self.body).map_err(|error| {
            Error::permanent(format!("{}: answer: {error}", self.what)).applied(Applied::Unknown)
        })
    }

    /// Makes an error of a status that is none of success: 401 `unauthenticated`, 403 `forbidden`, 404 `not-found`,
    /// 409 `conflict`, 429 (and 413 with `Retry-After`) `transient` with the time to wait, other 4xx `invalid`, all
    /// of them with nothing done; 5xx `transient` with an unknown outcome; a redirect `permanent`.
    ///
    /// # Errors
    /// As said.
    pub fn error_for_status(self) -> Result<Self> {
        match status_error(&self.what, self.status, self.header("retry-after"), &self.body) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }
}

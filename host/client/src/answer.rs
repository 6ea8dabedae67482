//! An answer, and the problem document (RFC 9457) of a refusal.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::ClientError;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    door: Arc<str>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(crate) fn new(door: Arc<str>, status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { door, status, headers, body }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON; null where it is empty.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json(&self) -> Result<Value, ClientError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Unexpected {
            door: self.door.to_string(),
            reason: format!("status {} with a body that is not JSON: {error}", self.status),
        })
    }

    /// The body as JSON of a 2xx or 304 answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the problem document otherwise.
    pub fn success(&self) -> Result<Value, ClientError> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            return self.json();
        }
        let problem = self.json().unwrap_or(Value::Null);
        Err(ClientError::Refused(Box::new(Refused { status: self.status(), problem })))
    }
}

/// A refusal by the site.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Refused {
    /// The status code.
    pub status: u16,
    /// The problem document; null where the answer was none.
    pub problem: Value,
}

impl Refused {
    fn text(&self, key: &str) -> Option<&str> {
        self.problem.get(key).and_then(Value::as_str)
    }

    /// The last part of the problem's `type`, e.g. `unknown-cloud`.
    pub fn code(&self) -> Option<&str> {
        self.text("type").and_then(|uri| uri.rsplit(['/', ':']).next())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text("detail").or_else(|| self.text("title")) {
            Some(detail) => write!(f, "{detail} ({}", self.status)?,
            None => write!(f, "refused ({}", self.status)?,
        }
        match self.code() {
            Some(code) => write!(f, " {code})"),
            None => f.write_str(")"),
        }
    }
}

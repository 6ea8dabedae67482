//! Requests and answers as they are written down.
//!
//! ```json
//! {"exchanges": [{
//!   "request": "POST https://cloud.example.org/machines", "body": {"name": "m"},
//!   "status": 201, "headers": {"content-type": "application/json"}, "answer": {"id": "m-1"}
//! }]}
//! ```
//! A body that is JSON stands as JSON, any other as a string, none as `null`. Request headers are not written down: they are
//! where credentials are.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands in place of a secret.
pub(super) const MASK: &str = "a-secret-of-the-case";

/// A request, without its secrets.
pub(crate) struct Asked {
    pub(super) request: String,
    pub(super) body: Value,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// `METHOD URL`.
    pub(crate) request: String,
    /// Of the request.
    #[serde(default)]
    pub(crate) body: Value,
    /// Of the answer.
    pub(crate) status: u16,
    /// Of the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// The answer's body.
    #[serde(default)]
    pub(crate) answer: Value,
}

/// A file of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recording {
    exchanges: Vec<Exchange>,
}

impl Recording {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let in_words = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(file).map_err(|error| in_words(&error))?;
        serde_json::from_slice(&text).map_err(|error| in_words(&error))
    }

    /// The answer to a request that was answered `before` times.
    pub(super) fn answer(&self, asked: &Asked, before: usize) -> Option<&Exchange> {
        let fits =
            |exchange: &&Exchange| exchange.request == asked.request && same(&exchange.body, &asked.body);
        self.exchanges.iter().filter(fits).take(before.saturating_add(1)).last()
    }
}

/// A body that was not written down is any.
fn same(recorded: &Value, asked: &Value) -> bool {
    recorded.is_null() || recorded == asked
}

impl Asked {
    pub(super) fn new(method: &Method, url: &str, body: &[u8], secrets: &[String]) -> Self {
        Self { request: mask(&format!("{method} {url}"), secrets), body: value(body, secrets) }
    }

    pub(super) fn key(&self) -> String {
        format!("{} {}", self.request, self.body)
    }
}

/// A body as a value, without secrets.
pub(super) fn value(body: &[u8], secrets: &[String]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let text = mask(&String::from_utf8_lossy(body), secrets);
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// A text without secrets.
pub(super) fn mask(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

impl Exchange {
    /// The answer as it is sent.
    pub(super) fn response(&self) -> io::Result<Response<Full<Bytes>>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match &self.answer {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            json => Bytes::from(json.to_string()),
        };
        response.body(Full::new(body)).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recording() -> Recording {
        serde_json::from_value(json!({"exchanges": [
            {"request": "GET https://c.test/m/1", "status": 200, "answer": {"state": "building"}},
            {"request": "POST https://c.test/m", "body": {"name": "a"}, "status": 201},
            {"request": "GET https://c.test/m/1", "status": 200, "answer": {"state": "on"}},
        ]}))
        .unwrap()
    }

    fn asked(method: &str, url: &str, body: &str) -> Asked {
        Asked::new(&method.parse().unwrap(), url, body.as_bytes(), &["hunter2hunter2".to_owned()])
    }

    #[test]
    fn the_same_request_gets_its_answers_in_order_and_the_last_again() {
        let (recording, look) = (recording(), asked("GET", "https://c.test/m/1", ""));
        let states: Vec<_> =
            (0..3).map(|at| recording.answer(&look, at).unwrap().answer["state"].clone()).collect();
        assert_eq!(states, ["building", "on", "on"]);
    }

    #[test]
    fn another_body_is_another_request() {
        let recording = recording();
        assert!(recording.answer(&asked("POST", "https://c.test/m", r#"{"name": "a"}"#), 0).is_some());
        assert!(recording.answer(&asked("POST", "https://c.test/m", r#"{"name": "b"}"#), 0).is_none());
        assert!(recording.answer(&asked("DELETE", "https://c.test/m/1", ""), 0).is_none());
    }

    #[test]
    fn secrets_are_not_written_down() {
        let login =
            asked("POST", "https://c.test/login?k=hunter2hunter2", r#"{"password":"hunter2hunter2"}"#);
        assert!(!login.key().contains("hunter2"), "{}", login.key());
    }
}

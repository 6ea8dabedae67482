//! Requests that are sent on, and written down.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_egress::{Caller, Egress, EgressPolicy, Origin, PrivateAccess, SendOptions};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::exchange::{Asked, Exchange, mask, value};

/// The longest that the real cloud may take: the plugin's own deadline is shorter.
const MOST: Duration = Duration::from_secs(120);

/// Headers of answers that plugins read.
const KEPT: [&str; 7] =
    ["content-type", "location", "retry-after", "etag", "link", "x-subject-token", "openstack-api-version"];

/// Headers of answers that are credentials.
const CREDENTIALS: [&str; 1] = ["x-subject-token"];

/// Members of JSON answers that are credentials.
const SECRET_KEYS: [&str; 6] =
    ["access_token", "refresh_token", "id_token", "password", "secret", "adminPass"];

/// The real network behind the tape.
#[derive(Clone)]
pub(crate) struct Live {
    egress: Arc<Egress>,
    private: PrivateAccess,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Live {
    /// Sends by `egress`; `private` are the addresses that the plugin's grant allows besides public ones.
    pub(crate) fn new(egress: Arc<Egress>, private: PrivateAccess) -> Self {
        Self { egress, private, exchanges: Arc::default() }
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request on and writes down what was said.
    pub(super) async fn forward(
        &self,
        origin: &Origin,
        head: Parts,
        body: Bytes,
        asked: Asked,
        secrets: &[String],
    ) -> io::Result<Response<Full<Bytes>>> {
        let pattern = origin.to_string().parse().map_err(io::Error::other)?;
        let policy =
            EgressPolicy { hosts: vec![pattern], private: self.private.clone(), ..EgressPolicy::default() };
        let caller = Caller { binding: "workbench".to_owned(), digest: String::new() };
        let channel = self.egress.channel(caller, policy);
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(head.method)
            .uri(format!("{origin}{target}"))
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        *request.headers_mut() = head.headers;
        let answer = channel
            .send(request, SendOptions::until(Instant::now() + MOST))
            .await
            .map_err(io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let exchange = Exchange {
            request: asked.request,
            body: asked.body,
            status: head.status.as_u16(),
            headers: kept(&head.headers, secrets),
            answer: without_secrets(value(&body, secrets)),
        };
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }
}

fn kept(headers: &HeaderMap, secrets: &[String]) -> BTreeMap<String, String> {
    KEPT.into_iter()
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            let value = if CREDENTIALS.contains(&name) {
                "a-recorded-token".to_owned()
            } else {
                mask(value, secrets)
            };
            Some((name.to_owned(), value))
        })
        .collect()
}

/// The same answer with placeholders where credentials stand.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    let is_secret = SECRET_KEYS.contains(&key.as_str()) && value.is_string();
                    let value = if is_secret { "a-recorded-secret".into() } else { without_secrets(value) };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_secrets).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answers_credentials_are_not_written_down() {
        let answer = json!({"server": {"adminPass": "x9", "id": "i-1"}, "tokens": [{"access_token": "y"}]});
        assert_eq!(
            without_secrets(answer),
            json!({"server": {"adminPass": "a-recorded-secret", "id": "i-1"}, "tokens": [{"access_token": "a-recorded-secret"}]})
        );
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-subject-token", "gAAAA"), ("set-cookie", "s=1"), ("content-type", "a/b")] {
            headers.insert(name, value.parse().unwrap());
        }
        let kept = kept(&headers, &[]);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(kept["x-subject-token"], "a-recorded-token");
    }
}

//! What is known of a request before anyone looks at what it asks: its id, its trace, where it comes from.

use std::convert::Infallible;

use archipel_identity::RequestInfo;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::trace::Trace;

/// In and out.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// In and out (W3C Trace Context).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Put on each request by [`serve`](crate::serve): where the connection comes from.
#[derive(Clone, Debug)]
pub struct ClientAddress(pub String);

/// Put on each request by [`serve`](crate::serve): told when the daemon stops, for what would never end by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

impl Stopping {
    /// Ends when the daemon stops.
    pub(crate) async fn wait(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// A request's marks.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// The client's own id where it sent a good one, else a UUIDv7.
    pub(crate) id: String,
    /// The client's trace with our span in it, or a new trace.
    pub(crate) trace: Trace,
    /// Where from.
    pub(crate) address: Option<String>,
}

impl Marks {
    pub(crate) fn read(headers: &HeaderMap, address: Option<&ClientAddress>) -> Self {
        let id = headers
            .get(REQUEST_ID)
            .and_then(good_id)
            .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        let trace = Trace::of(headers.get(TRACEPARENT));
        Self { id, trace, address: address.map(|address| address.0.clone()) }
    }

    pub(crate) fn info(&self) -> RequestInfo {
        RequestInfo {
            request_id: self.id.clone(),
            client_address: self.address.clone(),
            requesting_site: None,
        }
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [(REQUEST_ID, self.id.as_str()), (TRACEPARENT, &self.trace.to_string())] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// 1 to 128 of `A-Z a-z 0-9 . _ -`: what can stand in a log line and in a URN without being quoted.
fn good_id(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=128).contains(&text.len()).then_some(text).filter(|text| text.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(name: HeaderName, value: &str) -> Marks {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        Marks::read(&headers, None)
    }

    #[test]
    fn a_good_request_id_is_kept_and_a_bad_one_replaced() {
        assert_eq!(marks(REQUEST_ID, "walk-1.a_B").id, "walk-1.a_B");
        for bad in ["", "a b", "a\"b", "ü", &"x".repeat(129)] {
            assert_ne!(marks(REQUEST_ID, bad).id, bad);
        }
    }
}

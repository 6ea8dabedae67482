//! Events as HTTP requests: the CloudEvents HTTP binding (1.0.2), signed after Standard Webhooks (1.0.0).
//!
//! | answer | what is done |
//! |---|---|
//! | 2xx | sent |
//! | none in time, no connection, 5xx, 408, 425, 429 | all events wait, ever longer, or as long as `Retry-After` says |
//! | 410 | nothing more is sent until an administrator replays |
//! | 3xx | refused: a redirect is not followed, because whoever answers must not choose where the site's events go |
//! | other | refused: this event is tried again, later; others pass by |

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_egress::{
    Caller, Channel, Egress, EgressError, EgressPolicy, Origin, OriginPattern, SendOptions,
};
use archipel_model::{Clock, SecretBytes};
use archipel_vault::Vault;
use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::Full;

use crate::cloud_event::{CloudEvent, Mode};
use crate::config::WebhookConfig;
use crate::receiver::{Failure, Receiver, What};
use crate::signature;

/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER: usize = 64 << 10;

pub(crate) struct Webhook {
    url: String,
    origin: String,
    mode: Mode,
    timeout: Duration,
    secrets: Vec<String>,
    channel: Channel,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// # Errors
    /// A URL that is none, or a secret that is no key.
    pub(crate) fn new(
        config: &WebhookConfig,
        egress: &Egress,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let (origin, _) = Origin::of_url(&config.url).map_err(|error| error.to_string())?;
        let shown = origin.to_string();
        let policy = EgressPolicy {
            hosts: vec![OriginPattern::Exact(origin)],
            private: config.private.clone(),
            trust: None,
        };
        let caller = Caller { binding: format!("events/{}", config.name), digest: "host".to_owned() };
        let webhook = Self {
            url: config.url.clone(),
            origin: shown,
            mode: config.mode,
            timeout: Duration::from_secs(config.timeout_s.into()),
            secrets: config.secrets.clone(),
            channel: egress.channel(caller, policy),
            vault,
            clock,
        };
        webhook.keys()?;
        Ok(webhook)
    }

    /// Where it posts to, without what may be secret in a path.
    pub(crate) fn target(&self) -> String {
        self.origin.clone()
    }

    /// As the vault has them now: a reload changes them.
    fn keys(&self) -> Result<Vec<SecretBytes>, String> {
        let key = |name: &String| {
            let secret = self.vault.open(name).ok_or_else(|| format!("there is no [secrets.{name}]"))?;
            signature::key(name, &secret)
        };
        self.secrets.iter().map(key).collect()
    }

    fn request(&self, event: &CloudEvent) -> Result<Request<Full<bytes::Bytes>>, String> {
        let body = event.body(self.mode);
        let seconds = self.clock.now().as_unsigned_millis() / 1000;
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| -> Result<(), String> {
            let unfit = |_| format!("{name} does not fit into a header");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no header"))?;
            headers.insert(name, HeaderValue::from_str(value).map_err(unfit)?);
            Ok(())
        };
        set(header::CONTENT_TYPE.as_str(), event.media_type(self.mode))?;
        set(header::USER_AGENT.as_str(), concat!("archipel/", env!("CARGO_PKG_VERSION")))?;
        set("webhook-id", &event.id)?;
        set("webhook-timestamp", &seconds.to_string())?;
        set("webhook-signature", &signature::sign(&self.keys()?, &event.id, seconds, &body))?;
        if self.mode == Mode::Binary {
            for (name, value) in event.attributes() {
                set(&format!("ce-{name}"), &percent_encoded(&value))?;
            }
        }
        let mut request =
            Request::post(&self.url).body(Full::new(body)).map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

#[async_trait]
impl Receiver for Webhook {
    async fn deliver(&self, event: &CloudEvent) -> Result<(), Failure> {
        let request = self.request(event).map_err(Failure::away)?;
        let options = SendOptions {
            order: event.subject,
            request_id: event.id.clone(),
            ..SendOptions::until(Instant::now() + self.timeout)
        };
        let answer = self.channel.send(request, options).await.map_err(|error| failed(&error))?;
        let (head, body) = answer.into_parts();
        body.drain(ANSWER).await;
        judge(&self.origin, head.status, asked_wait(&head.headers, self.clock.now().as_millis()))
    }
}

fn failed(error: &EgressError) -> Failure {
    Failure::away(match error {
        EgressError::AddressNotGranted { host, address, kind } => format!(
            "{host} leads to {address}, a {kind} address; if that is right, set private = [\"{address}\"] at this webhook"
        ),
        error => error.to_string(),
    })
}

fn judge(origin: &str, status: StatusCode, asked: Option<Duration>) -> Result<(), Failure> {
    let what = match status.as_u16() {
        200..=299 => return Ok(()),
        410 => What::Gone,
        408 | 425 | 429 | 500..=599 => What::Away(asked),
        _ => What::Refused,
    };
    let why =
        if status.is_redirection() { "; redirects are not followed: set url to where it leads" } else { "" };
    Err(Failure { what, reason: format!("{origin} answered {}{why}", status.as_u16()) })
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn asked_wait(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    u64::try_from(at.saturating_sub(now_ms)).ok().map(Duration::from_millis)
}

/// As the binding wants attribute values in headers (section 3.1.3.2).
fn percent_encoded(value: &str) -> String {
    let mut out = String::new();
    for letter in value.chars() {
        match letter {
            '"' | '%' => out.push_str(&format!("%{:02X}", u32::from(letter))),
            '!'..='~' => out.push(letter),
            _ => letter.to_string().bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}"))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_who_waits() {
        let what = |status: u16| {
            judge("o", StatusCode::from_u16(status).unwrap(), None).err().map(|failure| failure.what)
        };
        for (status, expected) in [
            (200, None),
            (204, None),
            (301, Some(What::Refused)),
            (400, Some(What::Refused)),
            (404, Some(What::Refused)),
            (408, Some(What::Away(None))),
            (410, Some(What::Gone)),
            (429, Some(What::Away(None))),
            (500, Some(What::Away(None))),
            (503, Some(What::Away(None))),
        ] {
            assert_eq!(what(status), expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            asked_wait(&headers, 784_111_777_000)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), None);
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn attribute_values_are_encoded_for_headers() {
        assert_eq!(percent_encoded("Euro € \u{1f600}"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a\"b%c"), "a%22b%25c");
    }
}

//! One way to the collector for both signals: `POST` of a protobuf message, tried again as OTLP says.
//!
//! | answer | what is done (OTLP 1.x, "OTLP/HTTP Response") |
//! |---|---|
//! | 2xx | sent |
//! | 429, 502, 503, 504, none | tried again after `Retry-After`, else after a pause that doubles, until the batch's time is up |
//! | other | dropped: the same bytes would be refused again |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use archipel_egress::{Caller, Channel, Egress, EgressPolicy, Origin, OriginPattern, SendOptions};
use archipel_vault::Vault;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::config::TelemetryConfig;

/// Bytes of an answer that are read: it holds a count and a sentence.
const ANSWER: usize = 16 << 10;
/// First pause before trying again.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts are made for so many times `timeout_s`: later batches are worth more than an old one.
const PATIENCE: u32 = 3;

/// Speaks to one collector.
pub struct Sender {
    base: String,
    headers: Vec<(String, String)>,
    timeout: Duration,
    channel: Channel,
    vault: Arc<Vault>,
    away: AtomicBool,
}

impl Sender {
    /// `None` where the configuration names no collector.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(
        config: &TelemetryConfig,
        egress: &Egress,
        vault: Arc<Vault>,
    ) -> Result<Option<Arc<Self>>, String> {
        let Some(base) = &config.otlp else { return Ok(None) };
        let (origin, _) = Origin::of_url(base).map_err(|error| error.to_string())?;
        let policy = EgressPolicy {
            hosts: vec![OriginPattern::Exact(origin)],
            private: config.private.clone(),
            trust: None,
        };
        let caller = Caller { binding: "telemetry".to_owned(), digest: "host".to_owned() };
        Ok(Some(Arc::new(Self {
            base: base.trim_end_matches('/').to_owned(),
            headers: config.headers.clone().into_iter().collect(),
            timeout: config.timeout(),
            channel: egress.channel(caller, policy),
            vault,
            away: AtomicBool::new(false),
        })))
    }

    /// Sends one message to `/v1/traces` or `/v1/metrics`.
    ///
    /// # Errors
    /// Why it was given up. The log has said so already, once per outage.
    pub(crate) async fn send(&self, path: &'static str, body: Vec<u8>) -> Result<(), String> {
        let body = Bytes::from(body);
        let end = Instant::now() + self.timeout * PATIENCE;
        let mut pause = PAUSE;
        let result = loop {
            match self.attempt(path, body.clone()).await {
                Ok(()) => break Ok(()),
                Err(Failed { reason, again: None }) => break Err(reason),
                Err(Failed { reason, again: Some(asked) }) => {
                    let wait = asked.unwrap_or(pause);
                    if Instant::now() + wait >= end {
                        break Err(reason);
                    }
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                }
            }
        };
        self.tell(path, &result);
        result
    }

    fn tell(&self, path: &'static str, result: &Result<(), String>) {
        match (self.away.swap(result.is_err(), Ordering::Relaxed), result) {
            (false, Err(reason)) => {
                tracing::warn!(collector = %self.base, path, reason, "telemetry does not arrive; what does not arrive is dropped")
            }
            (true, Ok(())) => tracing::info!(collector = %self.base, "telemetry arrives again"),
            _ => {}
        }
    }

    async fn attempt(&self, path: &str, body: Bytes) -> Result<(), Failed> {
        let request = self.request(path, body).map_err(Failed::for_good)?;
        let options = SendOptions::until(Instant::now() + self.timeout);
        // A span for what sends spans would be sent with the next, for ever.
        let sent = self.channel.send(request, options).with_subscriber(NoSubscriber::default());
        let answer = sent.await.map_err(|error| Failed::for_now(error.to_string()))?;
        let (head, body) = answer.into_parts();
        body.drain(ANSWER).await;
        judge(head.status, head.headers.get(header::RETRY_AFTER))
    }

    fn request(&self, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, concat!("archipel/", env!("CARGO_PKG_VERSION")));
        for (name, secret) in &self.headers {
            // As the vault has it now: a reload changes it.
            let value = self.vault.open(secret).ok_or_else(|| format!("there is no [secrets.{secret}]"))?;
            let mut value = HeaderValue::from_bytes(value.reveal())
                .map_err(|_| format!("secret {secret} does not fit into a header"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }
}

/// An attempt that came to nothing; `again` = when to try once more, if at all.
struct Failed {
    reason: String,
    again: Option<Option<Duration>>,
}

impl Failed {
    fn for_good(reason: String) -> Self {
        Self { reason, again: None }
    }

    fn for_now(reason: String) -> Self {
        Self { reason, again: Some(None) }
    }
}

fn judge(status: StatusCode, retry_after: Option<&HeaderValue>) -> Result<(), Failed> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the collector answered {}", status.as_u16());
    if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        return Err(Failed::for_good(reason));
    }
    let asked = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Failed { reason, again: Some(asked.map(Duration::from_secs)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(status: u16, retry_after: Option<&'static str>) -> Option<Option<Option<Duration>>> {
        let header = retry_after.map(HeaderValue::from_static);
        judge(StatusCode::from_u16(status).unwrap(), header.as_ref()).err().map(|failed| failed.again)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(again(200, None), None);
        assert_eq!(again(400, None), Some(None));
        assert_eq!(again(500, None), Some(None));
        assert_eq!(again(302, None), Some(None));
        assert_eq!(again(503, None), Some(Some(None)));
        assert_eq!(again(429, Some("7")), Some(Some(Some(Duration::from_secs(7)))));
        assert_eq!(again(429, Some("soon")), Some(Some(None)));
    }
}

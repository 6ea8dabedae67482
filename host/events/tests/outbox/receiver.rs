//! A receiver of webhooks on loopback that does what a test tells it: answers, fails, stalls.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use hmac::Mac as _;
use serde_json::Value;

use crate::site::SECRET;

/// What one request is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    With(u16, &'static str, String),
    /// Never.
    Stall,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) status: u16,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Its signature, made anew by its receiver.
    pub(crate) fn is_signed(&self) -> bool {
        let key = base64::engine::general_purpose::STANDARD.decode(&SECRET[6..]).unwrap();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        self.header("webhook-signature").split(' ').any(|one| one == format!("v1,{expected}"))
    }
}

type Judge = dyn Fn(&Value, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    judge: Arc<Mutex<Arc<Judge>>>,
}

impl Receiver {
    /// Answers 204 until it is told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            seen: Arc::default(),
            judge: Arc::new(Mutex::new(Arc::new(|_, _| Answer::Status(204)))),
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// From now on answers what `judge` says of the event and the number of the request.
    pub(crate) fn answers(&self, judge: impl Fn(&Value, usize) -> Answer + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Arc::new(judge);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Events that it took, as (id, subject).
    pub(crate) fn taken(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let taken = self.requests().into_iter().filter(|request| request.status < 300);
        taken
            .map(|request| request.event())
            .map(|event| (text(&event["id"]), text(&event["subject"])))
            .collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let event = serde_json::from_slice(&body).unwrap_or_default();
    let judge = Arc::clone(&receiver.judge.lock().unwrap());
    let answer = {
        // Numbered, judged and kept at once: two requests that come together have two numbers.
        let mut seen = receiver.seen.lock().unwrap();
        let answer = judge(&event, seen.len());
        let status = match answer {
            Answer::Status(status) | Answer::With(status, ..) => status,
            Answer::Stall => 999,
        };
        seen.push(Request { at: Instant::now(), headers, body, status });
        answer
    };
    let code = |status| StatusCode::from_u16(status).unwrap();
    match answer {
        Answer::Status(status) => code(status).into_response(),
        Answer::With(status, name, value) => (code(status), [(name, value)]).into_response(),
        Answer::Stall => std::future::pending().await,
    }
}

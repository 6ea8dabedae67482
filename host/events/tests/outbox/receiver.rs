//! A receiver of webhooks on loopback that does what a test tells it: answers, fails, stalls.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine as _;
use bytes::Bytes;
use hmac::Mac as _;
use http::HeaderMap;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            seen: Arc::default(),
            judge: Arc::new(Mutex::new(Arc::new(|_, _| Answer::Status(204)))),
        };
        tokio::spawn(serve(listener, receiver.clone()));
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

async fn serve(listener: TcpListener, receiver: Receiver) {
    while let Ok((stream, _)) = listener.accept().await {
        let receiver = receiver.clone();
        let service = service_fn(move |request| take(receiver.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn take(
    receiver: Receiver,
    request: http::Request<Incoming>,
) -> hyper::Result<http::Response<Empty<Bytes>>> {
    let (head, body) = request.into_parts();
    let (headers, body) = (head.headers, body.collect().await?.to_bytes());
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
    let answered = http::Response::builder();
    let answered = match answer {
        Answer::Status(status) => answered.status(status),
        Answer::With(status, name, value) => answered.status(status).header(name, value),
        Answer::Stall => std::future::pending().await,
    };
    Ok(answered.body(Empty::new()).unwrap())
}

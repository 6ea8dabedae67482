//! The far side of the network: nothing, a recording, or the real one while it is recorded; and clouds that misbehave.
//!
//! | mode | a request |
//! |---|---|
//! | closed | finds no connection |
//! | replay | gets the recorded answer to the same method, URL and body; of several the next, at the end the last again |
//! | live, record | is sent on, after the plugin's grant and before anybody's masking; recorded without its secrets |
//!
//! A plugin's request passes its grant, its caps and its deadline before it comes here, and its answer passes them on the way
//! back: only names, addresses and TLS are missing.

mod exchange;
mod live;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archipel_egress::{Dialer, Origin, Wire};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

pub(crate) use exchange::Exchange;
use exchange::{Asked, Recording};
pub(crate) use live::Live;

/// Bytes that wait between the two ends of a connection.
const PIPE: usize = 64 << 10;

/// A cloud that misbehaves, for as long as it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens.
    Refused,
    /// Every request is answered with this status.
    Status(u16),
    /// Every request is answered 200 with a page that is no JSON.
    Garbage,
    /// Requests that may change something are answered with this status.
    ChangeStatus(u16),
    /// Connections end after such a request, without an answer.
    ChangeCut,
}

impl Fault {
    /// Whether a request meets it.
    fn strikes(self, method: &Method) -> bool {
        match self {
            Self::Refused | Self::Status(_) | Self::Garbage => true,
            Self::ChangeStatus(_) | Self::ChangeCut => *method != Method::GET,
        }
    }
}

enum Mode {
    Closed,
    Replay(Recording),
    Live(Live),
}

struct Inner {
    mode: Mode,
    fault: Option<Fault>,
    /// Ends the connections there are, so that none outlives a change.
    connections: CancellationToken,
    /// What was asked, in order.
    requests: Vec<String>,
    /// What was never recorded.
    strange: Vec<String>,
    /// Position per recorded request.
    played: BTreeMap<String, usize>,
}

/// The far side.
pub(crate) struct Tape {
    inner: Arc<Mutex<Inner>>,
    secrets: Arc<Vec<String>>,
}

impl Tape {
    fn new(mode: Mode, secrets: Vec<String>) -> Self {
        let inner = Inner {
            mode,
            fault: None,
            connections: CancellationToken::new(),
            requests: Vec::new(),
            strange: Vec::new(),
            played: BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), secrets: Arc::new(secrets) }
    }

    /// Nobody is there.
    pub(crate) fn closed() -> Self {
        Self::new(Mode::Closed, Vec::new())
    }

    /// Plays a recording; `secrets` stand masked in it.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn replay(file: &Path, secrets: Vec<String>) -> Result<Self, String> {
        Ok(Self::new(Mode::Replay(Recording::read(file)?), secrets))
    }

    /// Sends on; what is said is kept for [`Tape::recorded`].
    pub(crate) fn live(live: Live, secrets: Vec<String>) -> Self {
        Self::new(Mode::Live(live), secrets)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Lets the cloud misbehave, or behave again. A recording begins anew.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        let mut inner = self.inner();
        inner.fault = fault;
        inner.played.clear();
        std::mem::take(&mut inner.connections).cancel();
    }

    /// What was asked so far, each as `METHOD URL`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }

    /// Takes the requests that no recording has.
    pub(crate) fn take_strange(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().strange)
    }

    /// Whether requests really leave.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.inner().mode, Mode::Live(_))
    }

    /// Everything said so far, without its secrets.
    pub(crate) fn recorded(&self) -> Vec<Exchange> {
        match &self.inner().mode {
            Mode::Live(live) => live.exchanges(),
            _ => Vec::new(),
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Dialer for Tape {
    async fn dial(&self, origin: &Origin) -> io::Result<Box<dyn Wire>> {
        let connections = {
            let inner = self.inner();
            if inner.fault == Some(Fault::Refused) || matches!(inner.mode, Mode::Closed) {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            inner.connections.clone()
        };
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (inner, secrets, origin) = (Arc::clone(&self.inner), Arc::clone(&self.secrets), origin.clone());
        tokio::spawn(async move {
            let serve = service_fn(move |request| {
                answer(Arc::clone(&inner), Arc::clone(&secrets), origin.clone(), request)
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), serve);
            tokio::select! {
                // How a connection ends is seen by the plugin at the other end.
                _ = connection => {}
                () = connections.cancelled() => {}
            }
        });
        Ok(Box::new(ours))
    }
}

async fn answer(
    inner: Arc<Mutex<Inner>>,
    secrets: Arc<Vec<String>>,
    origin: Origin,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let asked = Asked::new(&head.method, &format!("{origin}{target}"), &body, &secrets);
    let live = {
        let mut inner = lock(&inner);
        inner.requests.push(asked.request.clone());
        match inner.fault.filter(|fault| fault.strikes(&head.method)) {
            Some(Fault::ChangeCut | Fault::Refused) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::Status(status) | Fault::ChangeStatus(status)) => return respond(status, "{}"),
            Some(Fault::Garbage) => return respond(200, "<html>this is not the page you were looking for"),
            None => {}
        }
        match &inner.mode {
            Mode::Closed => return Err(io::ErrorKind::ConnectionAborted.into()),
            Mode::Live(live) => live.clone(),
            Mode::Replay(_) => return inner.play(&asked),
        }
    };
    live.forward(&origin, head, body, asked, &secrets).await
}

impl Inner {
    fn play(&mut self, asked: &Asked) -> io::Result<Response<Full<Bytes>>> {
        let Mode::Replay(recording) = &self.mode else { return respond(599, "{}") };
        let key = asked.key();
        let position = self.played.entry(key).or_default();
        match recording.answer(asked, *position) {
            Some(exchange) => {
                *position = position.saturating_add(1);
                exchange.response()
            }
            None => {
                self.strange.push(format!("{} {}", asked.request, asked.body));
                respond(599, r#"{"message":"never recorded"}"#)
            }
        }
    }
}

fn respond(status: u16, body: &'static str) -> io::Result<Response<Full<Bytes>>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .map_err(io::Error::other)
}

//! Connections of one binding that wait for a next request.
//!
//! HTTP/1.1: a connection serves one request at a time and comes back when its answer has been read to the end.
//! HTTP/2: one connection serves many and stays here while it does.
//! Our own and not hyper-util's client, because that one cannot say whether a failed request had left: `applied`
//! rests on it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinHandle;

use crate::body::RequestBody;
use crate::connect::Opened;
use crate::error::{EgressError, causes};
use crate::origin::Origin;

/// Bytes of an answer's header section.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Headers of an answer.
const MAX_HEADERS: usize = 128;

/// A connection that can take a request.
pub(crate) struct Connection {
    sender: Sender,
    /// Says why it ended; with the first of those that share it.
    driver: Option<JoinHandle<Option<String>>>,
    pub(crate) address: SocketAddr,
    /// Of the server's certificate, `sha256:HEX`.
    pub(crate) certificate: Option<String>,
    pub(crate) reused: bool,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Connection {
    /// Speaks HTTP on an open stream; the connection itself runs on a task that ends with it.
    pub(crate) async fn start(opened: Opened, origin: &Origin) -> Result<Self, EgressError> {
        let fail = |error: hyper::Error| EgressError::Connect {
            origin: origin.to_string(),
            reason: std::io::Error::other(error),
        };
        let io = TokioIo::new(opened.stream);
        let (sender, driver) = if opened.http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(fail)?;
            (Sender::Http2(sender), tokio::spawn(ending(connection)))
        } else {
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(MAX_HEADER_BYTES)
                .max_headers(MAX_HEADERS)
                .handshake(io)
                .await
                .map_err(fail)?;
            (Sender::Http1(sender), tokio::spawn(ending(connection)))
        };
        let driver = Some(driver);
        Ok(Self { sender, driver, address: opened.address, certificate: opened.certificate, reused: false })
    }

    /// Why it ended, for a request that was not written to it: how it ends is told to the request that is on it alone.
    pub(crate) async fn ended(&mut self) -> Option<String> {
        tokio::time::timeout(Duration::from_millis(100), self.driver.as_mut()?).await.ok()?.ok()?
    }

    /// Whether requests name their authority in the URI (HTTP/2) or in `Host`.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends; gives the request back where nothing of it was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    fn is_usable(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready() && !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }
}

/// Which connections may serve which requests: those to the same origin under the same TLS identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) origin: Origin,
    /// The client certificate's; `None` = anonymous.
    pub(crate) identity: Option<String>,
}

/// Connections that wait.
pub(crate) struct Pool {
    idle: Mutex<HashMap<Route, Vec<(Connection, Instant)>>>,
    per_origin: usize,
    timeout: Duration,
}

impl Pool {
    pub(crate) fn new(per_origin: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), per_origin, timeout })
    }

    /// A connection that waits for such a request. Old and closed ones go.
    pub(crate) fn take(&self, route: &Route) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, list| {
            list.retain(|(connection, since)| since.elapsed() < self.timeout && connection.is_usable());
            !list.is_empty()
        });
        let list = idle.get_mut(route)?;
        let (mut connection, _) = list.pop()?;
        connection.reused = true;
        if let Sender::Http2(sender) = &connection.sender {
            let shared = Connection {
                sender: Sender::Http2(sender.clone()),
                driver: None,
                address: connection.address,
                certificate: connection.certificate.clone(),
                reused: true,
            };
            list.push((shared, Instant::now()));
        }
        Some(connection)
    }

    fn put(&self, route: Route, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.entry(route).or_default();
        // One HTTP/2 connection serves all.
        let full = if connection.is_http2() {
            list.iter().any(|(waiting, _)| waiting.is_http2())
        } else {
            list.len() >= self.per_origin
        };
        if !full && connection.is_usable() {
            list.push((connection, Instant::now()));
        }
    }
}

/// A connection that comes back to its pool when its answer is whole.
pub(crate) struct Lease {
    connection: Connection,
    route: Route,
    pool: Weak<Pool>,
}

/// Drives a connection to its end, and gives the reason where it is an error.
async fn ending(connection: impl Future<Output = hyper::Result<()>>) -> Option<String> {
    connection.await.err().map(|error| causes(&error))
}

impl Lease {
    pub(crate) fn new(connection: Connection, route: Route, pool: &Arc<Pool>) -> Self {
        Self { connection, route, pool: Arc::downgrade(pool) }
    }

    /// Gives it back as soon as it is ready for another request; drops it if that takes long.
    pub(crate) fn give_back(self) {
        let Self { mut connection, route, pool } = self;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let ready = async {
                match &mut connection.sender {
                    Sender::Http1(sender) => sender.ready().await.is_ok(),
                    Sender::Http2(sender) => sender.ready().await.is_ok(),
                }
            };
            if let (Ok(true), Some(pool)) =
                (tokio::time::timeout(Duration::from_secs(1), ready).await, pool.upgrade())
            {
                pool.put(route, connection);
            }
        });
    }
}

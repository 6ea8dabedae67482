//! Connections: TCP with or without TLS, and the administrator's socket. HTTP/1.1 and HTTP/2 on each.
//!
//! | abuse | bound |
//! |---|---|
//! | many connections | `connections`; more wait in the kernel's queue |
//! | a connection that says nothing, or says it slowly | `header_timeout_s` to the first request and for every request's headers |
//! | a TLS handshake that does not end | `handshake_timeout_s` |
//! | headers without end | `header_bytes`, `header_count` |
//! | one HTTP/2 connection with many streams | `streams` |
//! | a peer that vanished | HTTP/2 pings; HTTP/1.1 connections end when idle for `header_timeout_s` |
//!
//! When `stop` is cancelled no connection is taken any more, those that are open end after the request in work, and what is
//! still there after `shutdown_grace_s` is cut.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::ApiLimits;
use crate::request::{ClientAddress, Stopping};

/// A pause after `accept` failed (out of descriptors, mostly), so that failing does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two HTTP/2 pings, and for the answer to one.
const PING: Duration = Duration::from_secs(20);

/// Serves `router` on TCP until `stop`. With `tls`, its ALPN list should be `h2, http/1.1` ([`alpn`]).
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ApiLimits,
    stop: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(limits.connections));
    let limits = Arc::new(limits);
    let tracker = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small: they should not wait for more bytes (Nagle) while the client waits for them.
        let _ = stream.set_nodelay(true);
        let (router, acceptor, limits, stop) =
            (router.clone(), acceptor.clone(), Arc::clone(&limits), stop.clone());
        let from = ClientAddress(address.ip().to_string());
        tracker.spawn(async move {
            let _place = place;
            let Some(acceptor) = acceptor else {
                return connection(stream, router, Some(from), &limits, stop).await;
            };
            match tokio::time::timeout(limits.handshake_timeout(), acceptor.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, router, Some(from), &limits, stop).await,
                Ok(Err(error)) => tracing::debug!(address = %from.0, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(address = %from.0, "a TLS handshake took too long"),
            }
        });
    }
    tracker.close();
    tracker.wait().await;
}

/// Serves `router` on a Unix socket until `stop`, to peers that are root or run as this daemon's own user; others are cut
/// off at once. The socket's mode (0600) says the same; this holds also where a folder was made too open.
pub async fn serve_unix(listener: UnixListener, router: Router, limits: ApiLimits, stop: CancellationToken) {
    let own = rustix::process::geteuid().as_raw();
    let places = Arc::new(Semaphore::new(limits.connections));
    let limits = Arc::new(limits);
    let tracker = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok((uid, stream)) if is_administrator(uid, own) => stream,
            Ok((uid, _)) => {
                tracing::warn!(
                    uid,
                    "someone else than root or the daemon's user came to the administrator's socket"
                );
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, limits, stop) = (router.clone(), Arc::clone(&limits), stop.clone());
        tracker.spawn(async move {
            let _place = place;
            connection(stream, router, None, &limits, stop).await;
        });
    }
    tracker.close();
    tracker.wait().await;
}

const fn is_administrator(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

/// What a TLS configuration must offer, in this order.
pub fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

async fn connection<S>(
    stream: S,
    router: Router,
    from: Option<ClientAddress>,
    limits: &ApiLimits,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&has_asked);
    let stopping = Stopping(stop.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        if let Some(from) = &from {
            request.extensions_mut().insert(from.clone());
        }
        request.extensions_mut().insert(stopping.clone());
        router.clone().oneshot(request)
    });
    let builder = builder(limits);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // The header timeout of HTTP/1.1 begins once hyper knows which HTTP it is; this one begins with the connection.
    let patience = tokio::time::sleep(limits.header_timeout());
    tokio::pin!(patience);
    let mut is_patient = true;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = &mut patience, if is_patient => {
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
                is_patient = false;
            }
            () = stop.cancelled() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(limits.shutdown_grace(), connection).await {
        log(ended);
    }
}

fn builder(limits: &ApiLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .max_headers(limits.header_count)
        .max_buf_size(limits.header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

/// How a connection ended matters to nobody but the curious: clients go away all the time.
fn log(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        let is_usual = error.downcast_ref::<io::Error>().is_some();
        tracing::trace!(%error, is_usual, "a connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_daemons_own_user_are_administrators_and_nobody_else() {
        assert!(is_administrator(0, 1000));
        assert!(is_administrator(1000, 1000));
        assert!(!is_administrator(1001, 1000));
    }
}

//! Small servers: one that speaks HTTP, one that says what it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) requests: AtomicUsize,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers every request with a description of it; `/redirect` with a redirect, `/big` with 1 MiB.
pub(crate) async fn http() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, Arc::clone(&counted)));
        }
    });
    (address, seen)
}

/// Answers with the request's cookies, or `none`, and sets one with a number.
pub(crate) async fn cookies() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            let service = service_fn(move |request: Request<Incoming>| {
                let number = counted.requests.fetch_add(1, Ordering::SeqCst) + 1;
                let cookies = request.headers().get("cookie").and_then(|value| value.to_str().ok());
                let text = cookies.unwrap_or("none").to_owned();
                async move {
                    let response =
                        Response::builder().header("set-cookie", format!("visit={number}; Path=/"));
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::from(text)).unwrap())
                }
            });
            tokio::spawn(async move {
                // A client that goes away in the middle is part of the tests.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, seen)
}

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, seen: Arc<Seen>) {
    let service = service_fn(move |request| {
        seen.requests.fetch_add(1, Ordering::SeqCst);
        describe(request)
    });
    // A client that goes away in the middle is part of the tests.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn describe(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let response = Response::builder().header("keep-alive", "timeout=5").header("x-kept", "yes");
    Ok(match head.uri.path() {
        "/redirect" => response.status(302).header("location", "/elsewhere").body(Full::default()).unwrap(),
        "/big" => response.body(Full::from(vec![b'x'; 1 << 20])).unwrap(),
        _ => {
            let text = format!(
                "{:?} {} {} {}\n{}",
                head.version,
                head.method,
                head.uri,
                body.len(),
                lines(&head.headers)
            );
            response.body(Full::from(text)).unwrap()
        }
    })
}

fn lines(headers: &HeaderMap) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?"))).collect()
}

/// Accepts connections, reads each request's header and hands the stream over.
pub(crate) async fn raw<F, R>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut header = Vec::new();
            while !header.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => header.push(byte),
                    Err(_) => break,
                }
            }
            tokio::spawn(answer(stream));
        }
    });
    address
}

//! Real connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_api::{ApiLimits, serve};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::site::TestSite;

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_site_answers_over_tcp_and_stops_when_told() {
    let site = TestSite::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve::serve_tcp(
        listener,
        site.router.clone(),
        None,
        ApiLimits::default(),
        stop.clone(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HEALTH).await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"ok\""), "{text}");
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    idle.read_exact(&mut some).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn connections_that_say_nothing_or_say_it_slowly_are_ended() {
    let site = TestSite::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ApiLimits { header_timeout_s: 1, ..ApiLimits::default() };
    let stop = CancellationToken::new();
    tokio::spawn(serve::serve_tcp(listener, site.router.clone(), None, limits, stop.clone()));
    for said in [b"".as_slice(), b"PRI * HT", b"GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), read_all(&mut stream)).await.expect("it is ended");
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }
    stop.cancel();
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let site = TestSite::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve::serve_tcp(listener, site.router.clone(), None, ApiLimits::default(), stop.clone()));
    for header in
        [format!("x-big: {}\r\n", "x".repeat(200_000)), (0..200).map(|at| format!("x-{at}: y\r\n")).collect()]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{header}\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let text = read_all(&mut stream).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    }
    stop.cancel();
}

#[tokio::test]
async fn tls_serves_http_2_and_http_1() {
    let site = TestSite::start().await;
    // Made for this test alone: a key for `localhost` that nothing trusts but the client below.
    let certificate = CertificateDer::from(include_bytes!("tls/cert.der").to_vec());
    let key = PrivateKeyDer::Pkcs8(include_bytes!("tls/key.der").to_vec().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = serve::alpn();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let limits = ApiLimits { handshake_timeout_s: 1, ..ApiLimits::default() };
    tokio::spawn(serve::serve_tcp(
        listener,
        site.router.clone(),
        Some(Arc::new(server)),
        limits,
        stop.clone(),
    ));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for protocol in serve::alpn() {
        let mut client = client.clone();
        client.alpn_protocols = vec![protocol.clone()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_slice()));
        let io = TokioIo::new(stream);
        let request = http::Request::get("https://localhost/healthz").header("host", "localhost");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let status = if protocol == b"h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap().status()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap().status()
        };
        assert_eq!(status, 200);
    }
    for said in [b"".as_slice(), HEALTH] {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(said).await.unwrap();
        let text =
            tokio::time::timeout(Duration::from_secs(5), read_all(&mut plain)).await.expect("it is ended");
        assert!(!text.contains("200"), "{text}");
    }
    stop.cancel();
}

#[tokio::test]
async fn the_socket_serves_its_own_user() {
    let site = TestSite::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve::serve_unix(listener, site.admin.clone(), ApiLimits::default(), stop.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("local:admin"), "{text}");
    stop.cancel();
}

//! TLS: trust, names, HTTP/2. The key in `tests/tls` belongs to these tests and to nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipel_egress::{EgressError, EgressLimits};
use archipel_model::Applied;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Seen, serve};
use crate::{Site, fetch, get, soon, tls_file};

/// The tests' server, which may ask for client certificates.
pub(crate) fn server_config(
    verifier: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
    alpn: &[&[u8]],
) -> rustls::ServerConfig {
    let chain = CertificateDer::pem_file_iter(tls_file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = match verifier {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

async fn https(alpn: &[&[u8]]) -> (SocketAddr, Arc<Seen>) {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(None, alpn)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, counted).await;
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn http2_is_spoken_where_offered_and_one_connection_serves_many() {
    let (address, seen) = https(&[b"h2", b"http/1.1"]).await;
    let site = Site::new(EgressLimits::default());
    let host = format!("https://cloud.test:{}", address.port());
    let channel = site.granted(&host);
    let text = fetch(&channel, &format!("{host}/v3?x=1")).await.unwrap();
    assert_eq!(text.lines().next().unwrap(), format!("HTTP/2.0 GET {host}/v3?x=1 0"));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let url = format!("{host}/a");
    let many = futures::future::join_all((0..10).map(|_| fetch(&channel, &url))).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!((seen.connections(), seen.requests()), (1, 11));
}

#[tokio::test]
async fn http1_is_spoken_where_http2_is_not() {
    let (address, _) = https(&[b"http/1.1"]).await;
    let site = Site::new(EgressLimits::default());
    let host = format!("https://cloud.test:{}", address.port());
    let text = fetch(&site.granted(&host), &host).await.unwrap();
    assert_eq!(text.lines().next().unwrap(), "HTTP/1.1 GET / 0");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_before_anything_is_sent() {
    let (address, seen) = https(&[b"http/1.1"]).await;
    let site = Site::new(EgressLimits::default());
    for host in [format!("https://other.test:{}", address.port()), format!("https://{address}")] {
        let error = site.granted(&host).send(get(&host), soon()).await.unwrap_err();
        assert!(
            matches!(&error, EgressError::Tls { reason, .. } if reason.contains("certificate")),
            "{error:?}"
        );
        assert_eq!(error.applied(), Applied::No);
    }
    assert_eq!(seen.requests(), 0);
}

#[tokio::test]
async fn plain_http_on_a_port_for_tls_is_a_failure_of_tls() {
    let (address, _) = crate::server::http().await;
    let site = Site::new(EgressLimits::default());
    let host = format!("https://cloud.test:{}", address.port());
    let error = site.granted(&host).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls { .. }), "{error:?}");
}

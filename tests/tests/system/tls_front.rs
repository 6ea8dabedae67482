//! TLS in front of a plain server on loopback, for those who ask with or without a certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// The certificates of those who came in, in order; `None` = they showed none.
pub(crate) type Visitors = Arc<Mutex<Vec<Option<CertificateDer<'static>>>>>;

/// A file of `tests/tls`.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

/// The certificates of a file.
pub(crate) fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap).collect()
}

/// TLS in front of a plain server; its origin. With the authority of clients it lets in those alone who show a certificate
/// of it.
pub(crate) async fn https(before: &str, clients: Option<&Path>) -> (String, Visitors) {
    let key = PrivateKeyDer::from_pem_file(tls_file("loopback.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            certificates(authority).into_iter().for_each(|root| roots.add(root).unwrap());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = config.with_single_cert(certificates(&tls_file("loopback.pem")), key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let to = before.strip_prefix("http://").unwrap().to_owned();
    let visitors = Visitors::default();
    let noted = Arc::clone(&visitors);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, to, noted) = (acceptor.clone(), to.clone(), Arc::clone(&noted));
            tokio::spawn(async move {
                let mut outer = match acceptor.accept(stream).into_fallible().await {
                    Ok(outer) => outer,
                    // Who is killed, or is not let in, is part of the tests. Closed with bytes unread the connection would be
                    // reset, and the alert lost on its way.
                    Err((_, mut stream)) => return drop(stream.read_to_end(&mut Vec::new()).await),
                };
                let chain = outer.get_ref().1.peer_certificates();
                noted.lock().unwrap().push(chain.and_then(|chain| chain.first().cloned()));
                let Ok(mut inner) = TcpStream::connect(to).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    (origin, visitors)
}

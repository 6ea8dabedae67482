//! Certificate and key of the REST door, from PEM files; both can be read again while it serves.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsSection;

/// What new connections are served with. Connections that are open keep what they have.
#[derive(Debug)]
pub(crate) struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(crate) fn load(section: &TlsSection) -> Result<Self, String> {
        read(section).map(|key| Self(RwLock::new(Arc::new(key))))
    }

    /// Serves with what `new` holds from now on. Says whether that is another certificate.
    pub(super) fn replace(&self, new: &Self) -> bool {
        let new = new.current();
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let differs = held.cert != new.cert;
        *held = new;
        differs
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// TLS that asks `certificate` at each handshake.
///
/// # Errors
/// When the machine's cryptography knows no protocol version.
pub(super) fn server(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("site.tls: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(section: &TlsSection) -> Result<CertifiedKey, String> {
    let (cert, key) = (&section.cert, &section.key);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("site.tls.cert: {}: {error}", cert.display()))?;
    if chain.is_empty() {
        return Err(format!("site.tls.cert: {} holds no certificate", cert.display()));
    }
    let mode = std::fs::metadata(key)
        .map_err(|error| format!("site.tls.key: {}: {error}", key.display()))?
        .permissions()
        .mode();
    if mode & 0o007 != 0 {
        return Err(format!(
            "site.tls.key: {} is open to everybody (mode {:o}); run chmod 600 on it",
            key.display(),
            mode & 0o777
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("site.tls.key: {}: {error}", key.display()))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| {
        format!("site.tls: {} and {} do not go together: {error}", cert.display(), key.display())
    })
}

//! Certificate and key of the REST door, from PEM files.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsSection;

/// Reads both files.
///
/// # Errors
/// What is wrong with which file.
pub(crate) fn load(section: &TlsSection) -> Result<Arc<ServerConfig>, String> {
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("site.tls: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            format!("site.tls: {} and {} do not go together: {error}", cert.display(), key.display())
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

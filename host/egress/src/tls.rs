//! TLS towards clouds: the machine's roots, and a file of the site's own (private clouds have private authorities).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Sessions kept per binding for resumption.
const TLS_SESSIONS: usize = 32;

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file holds no certificate, or cannot be read.
    #[error("{} holds no PEM certificate: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The library refuses its own defaults.
    #[error("no TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// Trusts the machine's roots and, if given, those in a PEM file.
///
/// # Errors
/// The file cannot be read or holds something else.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a root certificate of this machine cannot be used");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        let bad = |reason: String| TlsError::BadFile { path: path.to_owned(), reason };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(bad("it is empty".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The same trust with sessions of its own: a ticket must not carry one binding's identity into another's connection.
pub(crate) fn with_own_sessions(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut own = config.clone();
    own.resumption = Resumption::in_memory_sessions(TLS_SESSIONS);
    Arc::new(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("archipel-no-ca-{}", std::process::id()));
        std::fs::write(&path, "not pem").unwrap();
        let error = client_config(Some(&path)).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("archipel-no-ca") && error.contains("it is empty"), "{error}");
        assert!(client_config(Some(Path::new("/nonexistent/ca.pem"))).is_err());
    }
}

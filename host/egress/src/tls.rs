//! TLS towards clouds: whom to trust, and who we are.
//!
//! Trust is the machine's roots with a file of the site's own (private clouds have private authorities), or, where a
//! grant names a file, that file alone. An identity is a client certificate; it comes from the vault with a request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

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
        add_roots(&mut roots, &read_pem(path)?, path)?;
    }
    trusting(roots)
}

/// Trusts nobody, and reads no file: where no request may leave.
///
/// # Errors
/// The library refuses its own defaults.
pub fn trusting_nobody() -> Result<ClientConfig, TlsError> {
    trusting(RootCertStore::empty())
}

/// The authorities of one grant: its servers' certificates must come from these, and from no other.
#[derive(Clone)]
pub struct Trust {
    digest: String,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Those in a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn only(path: &Path) -> Result<Self, TlsError> {
        let pem = read_pem(path)?;
        let mut roots = RootCertStore::empty();
        add_roots(&mut roots, &pem, path)?;
        Ok(Self { digest: sha256(&pem), config: Arc::new(trusting(roots)?) })
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Trust {}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({})", self.digest)
    }
}

/// The certificates of a PEM file as DER, for clients that are not ours.
///
/// # Errors
/// The file cannot be read or holds something else.
pub fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let pem = read_pem(path)?;
    // The same reading as for our own: what is refused there is refused here.
    add_roots(&mut RootCertStore::empty(), &pem, path)?;
    Ok(CertificateDer::pem_slice_iter(&pem).flatten().map(|certificate| certificate.to_vec()).collect())
}

fn read_pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path)
        .map_err(|error| TlsError::BadFile { path: path.to_owned(), reason: error.to_string() })
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8], path: &Path) -> Result<(), TlsError> {
    let bad = |reason: String| TlsError::BadFile { path: path.to_owned(), reason };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(bad("it is empty".to_owned()));
    }
    Ok(())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `sha256:HEX`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The same trust with sessions of its own: a ticket must not carry one binding's identity into another's connection.
pub(crate) fn with_own_sessions(config: &ClientConfig) -> ClientConfig {
    let mut own = config.clone();
    own.resumption = Resumption::in_memory_sessions(TLS_SESSIONS);
    own
}

/// Who we are towards a server that asks for a certificate: the chain and the key of a client.
#[derive(Clone)]
pub struct Identity {
    id: String,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Of PEM text with a chain (the client's own certificate first) and its private key.
    ///
    /// # Errors
    /// What is missing or does not fit together; never a byte of it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Chain)?;
        if chain.is_empty() {
            return Err(IdentityError::Chain);
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| IdentityError::Key)?;
        // The certificate alone would let two keys for one certificate share connections.
        let mut id = Sha256::new();
        chain.iter().for_each(|certificate| id.update(certificate));
        id.update(key.secret_der());
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|_| IdentityError::Mismatch)?;
        Ok(Self { id: hex::encode(id.finalize()), key: Arc::new(key) })
    }

    /// Tells identities apart; says nothing about them.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// This trust, with this identity and sessions of its own.
    pub(crate) fn over(&self, config: &ClientConfig) -> Arc<ClientConfig> {
        let mut own = with_own_sessions(config);
        own.client_auth_cert_resolver = Arc::new(Always(Arc::clone(&self.key)));
        Arc::new(own)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Why a client certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate.
    #[error(
        "it holds no PEM certificate; write the client's certificate, the chain above it and its key into one file"
    )]
    Chain,
    /// No key.
    #[error("it holds no PEM private key (PKCS#8, PKCS#1 or SEC1, not encrypted)")]
    Key,
    /// Both, but not of one another.
    #[error("its private key does not belong to its first certificate")]
    Mismatch,
}

/// Presents one certificate to whoever asks.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
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

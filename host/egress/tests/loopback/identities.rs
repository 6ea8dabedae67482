//! Whom we trust and who we are: authorities of a grant, client certificates, and connections that never mix them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use archipel_egress::{
    EgressError, EgressLimits, EgressPolicy, Identity, IdentityError, PrivateAccess, SendOptions, Trust,
};
use archipel_model::Applied;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Seen, serve};
use crate::tls::server_config;
use crate::{Site, fetch, get, read, soon, tls_file};

/// The client certificates of all connections, hashed, in order.
type Clients = Arc<Mutex<Vec<Option<String>>>>;

/// A server that asks for a certificate of the test's client authority, and takes those who have none.
async fn asking() -> (SocketAddr, Clients) {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(tls_file("client-ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_config(Some(verifier), &[b"http/1.1"])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = Clients::default();
    let noted = Arc::clone(&clients);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let leaf = leaf.map(|leaf| hex::encode(Sha256::digest(leaf)));
                noted.lock().unwrap().push(leaf);
                serve(stream, Arc::new(Seen::default())).await;
            });
        }
    });
    (address, clients)
}

fn identity(name: &str) -> Identity {
    Identity::from_pem(&std::fs::read(tls_file(name)).unwrap()).unwrap()
}

fn leaf(name: &str) -> String {
    let certificate = CertificateDer::pem_file_iter(tls_file(name)).unwrap().next().unwrap().unwrap();
    hex::encode(Sha256::digest(&certificate))
}

#[tokio::test]
async fn connections_of_different_identities_are_never_shared_and_those_of_one_are() {
    let (address, clients) = asking().await;
    let host = format!("https://cloud.test:{}", address.port());
    let site = Site::new(EgressLimits::default());
    let channel = site.granted(&host);
    let (one, two) = (identity("client-one.pem"), identity("client-two.pem"));
    for who in [Some(&one), None, Some(&two), Some(&one), None, Some(&identity("client-one.pem"))] {
        let options = SendOptions { identity: who.cloned(), ..soon() };
        read(channel.send(get(&host), options).await.unwrap()).await.unwrap();
        // Giving a connection back is a task of its own.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let expected = [Some(leaf("client-one.pem")), None, Some(leaf("client-two.pem"))];
    assert_eq!(*clients.lock().unwrap(), expected, "three identities, three connections, each used again");
}

#[tokio::test]
async fn a_client_certificate_never_goes_over_plain_http() {
    let (address, seen) = crate::server::http().await;
    let host = format!("http://{address}");
    let site = Site::new(EgressLimits::default());
    let options = SendOptions { identity: Some(identity("client-one.pem")), ..soon() };
    let error = site.granted(&host).send(get(&host), options).await.unwrap_err();
    assert!(matches!(error, EgressError::Invalid(_)), "{error:?}");
    assert_eq!(seen.connections(), 0);
}

#[test]
fn a_client_certificate_that_is_not_whole_is_refused_without_a_byte_of_it() {
    let (one, two) = (
        std::fs::read_to_string(tls_file("client-one.pem")).unwrap(),
        std::fs::read_to_string(tls_file("client-two.pem")).unwrap(),
    );
    let key = one.find("-----BEGIN PRIVATE KEY").unwrap();
    let other = two.find("-----BEGIN PRIVATE KEY").unwrap();
    let mixed = format!("{}{}", &one[..key], &two[other..]);
    for (pem, expected) in [
        ("not pem", IdentityError::Chain),
        (&one[key..], IdentityError::Chain),
        (&one[..key], IdentityError::Key),
        (mixed.as_str(), IdentityError::Mismatch),
    ] {
        assert_eq!(Identity::from_pem(pem.as_bytes()).unwrap_err(), expected);
    }
    assert_eq!(format!("{:?}", identity("client-one.pem")), "Identity(…)");
}

#[tokio::test]
async fn a_grant_may_name_its_own_authority_and_then_no_other_counts() {
    let (address, _) = asking().await;
    let host = format!("https://cloud.test:{}", address.port());
    let policy = |ca: &str| EgressPolicy {
        hosts: vec![host.parse().unwrap()],
        private: PrivateAccess::All(true),
        trust: Some(Trust::only(&tls_file(ca)).unwrap()),
    };
    // A site that trusts the machine's authorities alone.
    let strangers = Site::trusting(None, EgressLimits::default());
    let error = strangers.granted(&host).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls { .. }), "{error:?}");
    assert!(fetch(&strangers.under("one", policy("ca.pem")), &host).await.is_ok());
    // One that trusts the server's authority, under a grant that names another.
    let site = Site::new(EgressLimits::default());
    let error = site.under("one", policy("client-ca.pem")).send(get(&host), soon()).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls { .. }), "{error:?}");
    assert_eq!(error.applied(), Applied::No);
    assert!(Trust::only(&tls_file("server.key")).is_err());
    assert_eq!(policy("ca.pem"), policy("ca.pem"));
    assert_ne!(policy("ca.pem"), policy("client-ca.pem"));
}

#[tokio::test]
async fn the_ledger_names_the_servers_certificate_also_of_a_connection_that_is_used_again() {
    let (address, _) = asking().await;
    let host = format!("https://cloud.test:{}", address.port());
    let site = Site::new(EgressLimits::default());
    let channel = site.granted(&host);
    for _ in 0..2 {
        fetch(&channel, &host).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (plain, _) = crate::server::http().await;
    fetch(&site.granted(&format!("http://{plain}")), &format!("http://{plain}")).await.unwrap();
    let certificates: Vec<Option<String>> =
        site.ledger.entries().into_iter().map(|entry| entry.certificate).collect();
    let server = Some(format!("sha256:{}", leaf("server.pem")));
    assert_eq!(certificates, [server.clone(), server, None]);
}

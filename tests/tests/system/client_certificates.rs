//! A plugin that shows a client certificate to a server which demands one, in a running site: the right one is let in, a
//! wrong one and none are not, and its key is in no plugin's memory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use archipel_tests::built;
use archipel_tests::daemon::Daemon;
use archipel_tests::memory_watch::MemoryWatch;
use archipel_tests::site::Site;
use axum::Router;
use serde_json::{Value, json};

use super::tls_front::{Visitors, certificates, https, tls_file};

/// The authority of clients, and those whom it vouches for; made for the tests of egress.
fn client_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/egress/tests/tls").join(name)
}

/// A far side that knows its clients by their certificates.
async fn demanding() -> (String, Visitors) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async || "let in");
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    https(&behind, Some(&client_file("client-ca.pem"))).await
}

/// A site whose mapper asks `origin`, and shows this identity where there is one.
fn site(origin: &str, identity: Option<&str>) -> Site {
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("leaky-mapper", &built::plugin("leaky-mapper").unwrap()).unwrap();
    let file = site.folder().join("client.pem");
    std::fs::write(&file, identity.unwrap_or("none")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::copy(tls_file("ca.pem"), site.folder().join("far-side-ca.pem")).unwrap();
    let placement = if identity.is_some() { "client-certificate" } else { "header:x-secret" };
    site.config["cloud"][0]["mapper"] = "leaky-mapper".into();
    site.config["cloud"][0]["mapper_config"] =
        json!({"url": format!("{origin}/"), "certificate": identity.is_some()});
    site.config["secrets"] = json!({"leaked": {"file": "client.pem"}});
    site.config["grants"]["leaky-mapper"] = json!({
        "hosts": [origin], "private": ["127.0.0.0/8"], "pin": "capabilities", "ca": "far-side-ca.pem",
        "reveal": ["leaked"],
        "secrets": [{"name": "leaked", "origin": origin, "methods": ["GET"], "path": "/", "placement": placement}],
    });
    site
}

/// Has the mapper called: status and problem.
async fn called(daemon: &Daemon) -> (u16, Value) {
    let alice = daemon.login("alice").await.unwrap();
    let answer = alice.get("/v1/clouds/emulated/specs").await.unwrap();
    (answer.status(), answer.json().unwrap())
}

fn private_key(pem: &str) -> &str {
    pem.lines().skip_while(|line| !line.contains("PRIVATE KEY")).nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_shows_a_client_certificate_that_it_never_sees() {
    let (origin, visitors) = demanding().await;
    let file = client_file("client-one.pem");
    let pem = std::fs::read_to_string(&file).unwrap();
    let site = site(&origin, Some(&pem));
    let watch = MemoryWatch::new().unwrap();
    let daemon = site.start_with(&["--fail-points"], &[watch.variable()]).await.unwrap();
    let (status, told) = called(&daemon).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(*visitors.lock().unwrap(), [certificates(&file).first().cloned()]);
    watch.is_clean(&["leaky-mapper"]).unwrap();
    assert!(watch.secrets().contains(&pem.trim_end().as_bytes().to_vec()), "the watch did not look for it");
    watch.assert_not_in("the log", daemon.log().as_bytes());
    assert!(!daemon.log().contains(private_key(&pem)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_or_with_anothers_is_not_let_in_and_the_log_says_so() {
    let (origin, visitors) = demanding().await;
    // Whole, and of an authority that the far side does not know.
    let strange =
        ["loopback.pem", "loopback.key"].map(|name| std::fs::read_to_string(tls_file(name)).unwrap());
    for (identity, alert) in [(None, "CertificateRequired"), (Some(strange.concat()), "UnknownCA")] {
        let site = site(&origin, identity.as_deref());
        let daemon = site.start().await.unwrap();
        let (status, told) = called(&daemon).await;
        assert_eq!(
            (status, told["type"].as_str().unwrap()),
            (503, "urn:archipel:problem:unavailable"),
            "{told}"
        );
        let log = daemon.log();
        let line =
            log.lines().find(|line| line.contains("was broken off")).unwrap_or_else(|| panic!("{log}"));
        // In TLS 1.3 a client has done its part before the server judges it: its alert meets the request or comes before it.
        let is_told = line.contains(alert) || line.contains("was closed before the request was sent");
        assert!(line.contains("leaky-mapper") && is_told, "{line}");
        assert!(!log.contains("PRIVATE KEY") && !told.to_string().contains("PRIVATE KEY"));
    }
    assert_eq!(*visitors.lock().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_does_not_leave() {
    let (origin, visitors) = demanding().await;
    let pem = std::fs::read_to_string(client_file("client-one.pem")).unwrap();
    let half = pem.split("-----BEGIN PRIVATE KEY").next().unwrap();
    let site = site(&origin, Some(half));
    let daemon = site.start().await.unwrap();
    let (status, told) = called(&daemon).await;
    assert!(status >= 400 && !told.to_string().contains("BEGIN CERTIFICATE"), "{status} {told}");
    assert!(told["detail"].as_str().unwrap().contains("leaked"), "{told}");
    assert_eq!(*visitors.lock().unwrap(), []);
}

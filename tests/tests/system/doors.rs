//! The doors of a site: TLS, plain HTTP on loopback alone, the administrator's socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use archipel_client::Client;
use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::json;

/// A certificate for localhost that signs itself.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl, which makes the certificate");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn with_a_certificate_the_site_speaks_tls() {
    let mut site = Site::temporary().unwrap();
    certificate(site.folder());
    site.config["site"]["tls"] = json!({"cert": "cert.pem", "key": "key.pem"});
    let daemon = site.start().await.unwrap();
    assert!(daemon.url().starts_with("https://"), "{}", daemon.url());
    let url = daemon.url().replace("127.0.0.1", "localhost");
    let trusting = Client::at_url(&url, Some(&site.folder().join("cert.pem"))).unwrap();
    let body =
        json!({"binding": "local", "credentials": {"username": "alice", "password": site.password("alice")}});
    let token = trusting.post("/v1/tokens", &body).await.unwrap().success().unwrap();
    let alice = trusting.with_token(token["token"].as_str().unwrap());
    let order = create(&alice, "computes", &small_compute("c")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();

    // Whoever does not trust the certificate gets nowhere, and neither does plain HTTP.
    let distrusting = Client::at_url(&url, None);
    if let Ok(distrusting) = distrusting {
        assert!(distrusting.get("/healthz").await.is_err());
    }
    let plain = Client::at_url(&url.replace("https", "http"), None).unwrap();
    assert!(plain.get("/healthz").await.is_err());

    // The command line takes the certificate too.
    let ca = site.folder().join("cert.pem");
    let ran = archipel_tests::cli::archipel(&[
        "order",
        "list",
        "--url",
        &url,
        "--ca",
        ca.to_str().unwrap(),
        "--token",
        token["token"].as_str().unwrap(),
    ]);
    assert!(ran.unwrap().with_code(0).out.contains(id(&order)));
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let mut site = Site::temporary().unwrap();
    certificate(site.folder());
    site.config["site"]["tls"] = json!({"cert": "cert.pem", "key": "key.pem"});
    let daemon = site.start().await.unwrap();
    let url = daemon.url().replace("127.0.0.1", "localhost");
    let old = site.folder().join("old.pem");
    let new = site.folder().join("cert.pem");
    std::fs::copy(&new, &old).unwrap();
    // What trusts a certificate is asked with a connection of its own: those that are open keep theirs.
    let is_served = async |certificate: &Path| {
        Client::at_url(&url, Some(certificate)).unwrap().get("/healthz").await.is_ok()
    };
    assert!(is_served(&old).await);

    // A key that does not go with it changes nothing.
    certificate(site.folder());
    std::fs::rename(site.folder().join("key.pem"), site.folder().join("kept.pem")).unwrap();
    std::fs::write(site.folder().join("key.pem"), "no key").unwrap();
    let refused = daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap();
    assert_eq!(refused.status(), 422, "{refused:?}");
    assert!(is_served(&old).await && !is_served(&new).await);

    std::fs::rename(site.folder().join("kept.pem"), site.folder().join("key.pem")).unwrap();
    let reload = daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap();
    let reload = reload.success().unwrap();
    assert_eq!(reload["changed"], json!(["site.tls"]), "{reload}");
    assert!(is_served(&new).await && !is_served(&old).await);
}

#[test]
fn plain_http_for_other_machines_is_refused_unless_wanted() {
    let mut site = Site::temporary().unwrap();
    site.config["site"]["listen"] = "0.0.0.0:0".into();
    site.write().unwrap();
    let ran = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(ran.err.contains("plain HTTP"), "{ran:?}");
    site.config["site"]["allow_plain_http_off_loopback"] = true.into();
    site.write().unwrap();
    site.archipel(&["check-config"]).unwrap().with_code(0);
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_anything_starts() {
    let mut site = Site::temporary().unwrap();
    site.config["site"]["tls"] = json!({"cert": "no-such.pem", "key": "no-such.pem"});
    site.write().unwrap();
    let ran = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(ran.err.contains("no-such.pem"), "{ran:?}");
}

#[tokio::test]
async fn the_administrators_socket_is_his_alone() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(daemon.socket()), 0o600);
    assert_eq!(mode(&site.data_dir()), 0o700);
    let me = daemon.admin().get("/v1/me").await.unwrap().success().unwrap();
    assert!(me.to_string().contains("local:admin") || me["subject"] == "admin", "{me}");
    let order = create(&daemon.admin(), "volumes", &json!({"size_gib": 1})).await.unwrap();
    reaches(&daemon.admin(), id(&order), "fulfilled").await.unwrap();
    assert!(daemon.stop().await.unwrap().success());
}

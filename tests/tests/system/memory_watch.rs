//! The watch over the plugins' memories, which proves elsewhere that secrets never enter them, is seen to find one here.

use archipel_tests::built;
use archipel_tests::daemon::Daemon;
use archipel_tests::memory_watch::{MemoryWatch, Search};
use archipel_tests::site::Site;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Long enough that nothing else holds it by chance.
const SECRET: &str = "correct+horse/battery\"staple&é";

/// A server that answers every request with `padding` bytes and then the request itself; its port.
async fn echo(padding: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 4096];
                let size = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..size]);
            }
            let body = [vec![b'x'; padding], request].concat();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    });
    port
}

/// The search after a call of a mapper that keeps the echo of a secret, or the secret, and the watch.
async fn search_after_an_echo(padding: usize, reveal: bool) -> (Search, MemoryWatch, Daemon, Site) {
    let port = echo(padding).await;
    let origin = format!("http://127.0.0.1:{port}");
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("leaky-mapper", &built::plugin("leaky-mapper").unwrap()).unwrap();
    site.config["cloud"][0]["mapper"] = "leaky-mapper".into();
    site.config["cloud"][0]["mapper_config"] = json!({"url": format!("{origin}/"), "reveal": reveal});
    site.config["secrets"] = json!({"leaked": {"value": SECRET}});
    site.config["grants"]["leaky-mapper"] = json!({
        "hosts": [origin], "private": ["127.0.0.0/8"], "pin": "capabilities", "reveal": ["leaked"],
        "secrets": [{"name": "leaked", "origin": origin, "methods": ["GET"], "path": "/", "placement": "header:x-secret"}],
    });
    let watch = MemoryWatch::new().unwrap();
    let daemon = site.start_with(&["--fail-points"], &[watch.variable()]).await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    alice.get("/v1/clouds/emulated/specs").await.unwrap().success().unwrap();
    let search = watch
        .searches()
        .into_iter()
        .find(|search| search.plugin == "leaky-mapper" && search.function.ends_with("get-token"))
        .unwrap();
    (search, watch, daemon, site)
}

#[tokio::test]
async fn an_echo_that_the_host_masks_is_in_no_memory_wherever_it_stands() {
    for padding in [0, 4 << 20] {
        let (search, watch, daemon, _site) = search_after_an_echo(padding, false).await;
        assert!(search.secrets.contains(&"leaked".to_owned()) && search.bytes > 1 << 20, "{search:?}");
        assert_eq!(search.problem, None);
        watch.is_clean(&["leaky-mapper", "aaa-local", "cloud-emulated", "authz-roles"]).unwrap();
        assert!(watch.is_clean(&["mapper-all-to-one"]).is_err(), "it was never called");
        assert!(watch.secrets().contains(&SECRET.as_bytes().to_vec()));
        watch.assert_not_in("the log", daemon.log().as_bytes());
        let revealed =
            daemon.admin().get("/v1/admin/audit?operation=reveal-secret").await.unwrap().success().unwrap();
        assert_eq!(revealed["items"], json!([]));
    }
}

#[tokio::test]
async fn a_secret_that_is_revealed_is_in_the_audit_and_the_watch_finds_it_in_memory() {
    let (search, watch, daemon, _site) = search_after_an_echo(0, true).await;
    assert_eq!(search.found, ["leaked"]);
    let log = daemon.log();
    assert!(log.contains("secrets are in a plugin's memory"), "{log}");
    assert!(log.contains("a secret was revealed to a plugin"), "{log}");
    let error = watch.is_clean(&[]).unwrap_err().to_string();
    assert!(error.contains("leaky-mapper"), "{error}");
    let told = format!("the log of a careless host: {SECRET}");
    assert!(std::panic::catch_unwind(|| watch.assert_not_in("it", told.as_bytes())).is_err());
    let audit =
        daemon.admin().get("/v1/admin/audit?operation=reveal-secret").await.unwrap().success().unwrap();
    let record = &audit["items"][0];
    let plugin = daemon.admin().get("/v1/admin/plugins/leaky-mapper").await.unwrap().success().unwrap();
    assert_eq!((&record["on"], &record["outcome"]), (&json!("leaked"), &json!("allowed")), "{audit}");
    let reason = record["reason"].as_str().unwrap();
    assert!(
        reason.contains(plugin["digest"].as_str().unwrap())
            && reason.contains("cloud/emulated/mapper/leaky-mapper"),
        "{reason}"
    );
    watch.assert_not_in("the audit", audit.to_string().as_bytes());
}

//! A new version of a shipped policy beside the one that serves, from the command line: compared, promoted, dropped.

use archipel_client::Client;
use archipel_tests::cli::{self, Ran};
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use archipel_tests::{built, component};
use serde_json::Value;

async fn archipel(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = cli::program().unwrap();
    command.arg("--config").arg(site.file()).args(arguments);
    tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap()
}

/// What came of the candidate, once it has been asked.
async fn compared(daemon: &Daemon) -> Value {
    let status = daemon
        .plugin_when("authz-roles-next", |status| {
            let number = |key: &str| status["shadow"][key].as_u64().unwrap_or_default();
            number("agreed") + number("differed") + number("failed") > 0
        })
        .await;
    status.unwrap()["shadow"].clone()
}

async fn alice_asks(alice: &Client) {
    alice.get("/v1/clouds").await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_agrees_is_promoted_and_one_that_does_not_is_dropped() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let first = daemon.plugin_state("authz-roles", "live", None).await.unwrap();

    // Another policy altogether: it lets everybody do everything but be an administrator.
    let other = site.folder().join("other.wasm");
    std::fs::write(&other, built::plugin("smallest-authorization").unwrap()).unwrap();
    let refused = archipel(&site, &["plugin", "shadow", "authz-roles", other.to_str().unwrap()]).await;
    assert!(refused.code == 1 && refused.err.contains("takes no configuration"), "{refused:?}");
    assert!(!site.plugin_dir().join("authz-roles-next.wasm").exists(), "nothing stays of it");
    assert!(!std::fs::read_to_string(site.file()).unwrap().contains("shadow"));

    // The same with another byte: it says the same.
    let next = site.folder().join("next.wasm");
    let bytes = component::with_custom_section(built::plugin("authz-roles").unwrap(), "next");
    std::fs::write(&next, bytes).unwrap();
    archipel(&site, &["plugin", "shadow", "authz-roles", next.to_str().unwrap()]).await.with_code(0);
    let early = archipel(&site, &["plugin", "promote", "authz-roles"]).await.with_code(1);
    assert!(early.out.contains("it is not promoted"), "nobody asked yet: {early:?}");
    alice_asks(&alice).await;
    let shadow = compared(&daemon).await;
    assert_eq!(
        (&shadow["of"], &shadow["differed"], &shadow["failed"]),
        (&"authz-roles".into(), &0.into(), &0.into())
    );
    let told = archipel(&site, &["plugin", "shadow", "authz-roles"]).await.with_code(0);
    assert!(told.out.contains("0 differed"), "{told:?}");
    archipel(&site, &["plugin", "promote", "authz-roles"]).await.with_code(0);
    let second = daemon.plugin_state("authz-roles", "live", first["digest"].as_str()).await.unwrap();
    assert!(!std::fs::read_to_string(site.file()).unwrap().contains("shadow"));
    assert!(site.plugin_dir().join(".authz-roles.before").exists(), "the way back");
    alice_asks(&alice).await;

    // Once more, and away with it.
    let third = site.folder().join("third.wasm");
    let bytes = component::with_custom_section(built::plugin("authz-roles").unwrap(), "third");
    std::fs::write(&third, bytes).unwrap();
    archipel(&site, &["plugin", "shadow", "authz-roles", third.to_str().unwrap()]).await.with_code(0);
    alice_asks(&alice).await;
    compared(&daemon).await;
    let metrics = daemon.anonymous().get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.bytes().to_vec()).unwrap();
    let line = "archipel_plugin_shadow_calls_total{plugin=\"authz-roles-next\",of=\"authz-roles\",result=\"differed\"} 0";
    assert!(metrics.contains(line), "{metrics}");
    archipel(&site, &["plugin", "drop", "authz-roles"]).await.with_code(0);
    assert!(!site.plugin_dir().join("authz-roles-next.wasm").exists());
    archipel(&site, &["plugin", "drop", "authz-roles"]).await.with_code(2);
    let last = daemon.plugin_state("authz-roles", "live", None).await.unwrap();
    assert_eq!(last["digest"], second["digest"]);
    alice_asks(&alice).await;
    daemon.stop().await.unwrap();
}

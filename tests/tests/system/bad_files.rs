//! Files that are no plugins, dropped while the site serves. Each is shown with its reason, and changes nothing for the
//! plugins that serve.

use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::site::Site;
use archipel_tests::{built, component};
use serde_json::json;

#[tokio::test]
async fn what_is_no_plugin_is_shown_with_its_reason_and_harms_nobody() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"plugins": {"file_mib": 4}});
    let daemon = site.start().await.unwrap();
    let good = built::plugin("mapper-by-group").unwrap();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let mut oversized = good.clone();
    oversized.resize(5 << 20, 0);
    let precompiled = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);

    for (name, bytes, reason) in [
        ("empty", Vec::new(), "the file is empty"),
        ("garbage", b"these are not the bytes of a component".to_vec(), "this is not WebAssembly"),
        ("text", b"(component)".to_vec(), "this is WebAssembly text"),
        ("core-module", core_module, "this is a core module, not a component"),
        ("precompiled", precompiled, "never accepted"),
        ("oversized", oversized, "more than limits.plugins.file_mib = 4 allows"),
        ("truncated", good[..good.len() / 2].to_vec(), "the file ends early"),
        ("truncated-early", good[..12].to_vec(), "the file ends early"),
        ("flipped", flipped, ""),
        ("nothing-in-it", component::empty(), "it exports nothing"),
        ("no-manifest", component::without_manifest(&good), "it has no manifest"),
        ("no-exports", component::with_manifest_of(&component::empty(), &good), "exports"),
        ("future-world", component::of_version(&good, "0.1.0", "0.9.0"), "0.9.0"),
        (
            "strange-import",
            component::importing_instead(&good, "archipel:host/config", "archipel:host/sesame"),
            "archipel:host/sesame",
        ),
    ] {
        site.drop_plugin(name, &bytes).unwrap();
        let status = daemon.plugin_state(name, "rejected", None).await.unwrap();
        let told = status["last_error"].as_str().unwrap_or_default();
        assert!(told.contains(reason) && !told.is_empty(), "{name}: {status}");
    }
    std::fs::write(site.plugin_dir().join("Bad_Name.wasm"), &good).unwrap();
    let link = site.plugin_dir().join("link.wasm");
    std::os::unix::fs::symlink(site.plugin_dir().join("aaa-local.wasm"), link).unwrap();
    daemon.plugin_state("link", "rejected", None).await.unwrap();

    all_serve(&site, &daemon).await;
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_serving() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let before = daemon.plugin_state("mapper-all-to-one", "live", None).await.unwrap();
    let good = built::plugin("mapper-all-to-one").unwrap();
    site.drop_plugin("mapper-all-to-one", &good[..good.len() / 2]).unwrap();
    let after =
        daemon.plugin_when("mapper-all-to-one", |status| !status["last_error"].is_null()).await.unwrap();
    assert_eq!((&after["state"], &after["digest"]), (&before["state"], &before["digest"]), "{after}");
    all_serve(&site, &daemon).await;
}

#[tokio::test]
async fn a_plugin_without_its_grant_is_refused_with_the_lines_that_grant_it() {
    let mut site = Site::temporary().unwrap();
    site.config["grants"].as_object_mut().unwrap().remove("cloud-emulated");
    let daemon = site.start().await.unwrap();
    let status = daemon.plugin_state("cloud-emulated", "rejected", None).await.unwrap();
    let told = status["last_error"].as_str().unwrap();
    assert!(told.contains("[grants.cloud-emulated]") && told.contains("storage"), "{told}");
    // The site serves without the cloud; nobody can order from it meanwhile.
    let alice = daemon.login("alice").await.unwrap();
    let cloud = alice.get("/v1/clouds/emulated").await.unwrap().success().unwrap();
    assert_eq!(cloud["health"]["status"], "away", "{cloud}");

    // Granted, it comes without a restart.
    site.config["grants"]["cloud-emulated"] = json!({"storage": "256 MiB"});
    site.write().unwrap();
    daemon.admin().post("/v1/admin/plugins/actions/reload", &json!({})).await.unwrap().success().unwrap();
    daemon.plugin_state("cloud-emulated", "live", None).await.unwrap();
    all_serve(&site, &daemon).await;
}

#[tokio::test]
async fn other_bytes_than_those_pinned_are_refused() {
    let mut site = Site::temporary().unwrap();
    site.config["grants"]["aaa-local"]["pin"] = "digest".into();
    site.config["grants"]["aaa-local"]["accept"] = json!([format!("sha256:{}", "0".repeat(64))]);
    let daemon = site.start().await.unwrap();
    let status = daemon.plugin_state("aaa-local", "rejected", None).await.unwrap();
    let told = status["last_error"].as_str().unwrap();
    assert!(told.contains("is pinned and does not list these bytes"), "{told}");
    assert!(told.contains("accept = [\"sha256:"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_the_plugin_does_not_take_is_told_with_its_path() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["mapper_config"] = json!({"default": {"account": 7}});
    let daemon = site.start().await.unwrap();
    let status = daemon.plugin_state("mapper-all-to-one", "rejected", None).await.unwrap();
    let told = status["last_error"].as_str().unwrap();
    assert!(told.contains("the configuration of") && told.contains("default.account"), "{told}");
}

/// Everybody who should serve does: a login and an order go all the way.
async fn all_serve(site: &Site, daemon: &Daemon) {
    for name in archipel_tests::site::PLUGINS {
        let status = daemon.plugin_when(name, |_| true).await.unwrap();
        assert_eq!(status["state"], "live", "{status}");
    }
    let alice = daemon.anonymous().with_token(daemon.token("alice", site.password("alice")).await.unwrap());
    let order = create(&alice, "computes", &small_compute("still")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
}

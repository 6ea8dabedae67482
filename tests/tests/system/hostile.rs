//! Plugins that are in order as files and do their worst when they are called. Each harms its own call; the daemon, the
//! other plugins and the orders on other clouds go on.

use std::net::TcpListener;

use archipel_client::Client;
use archipel_tests::built;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, delete, follow, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::{Value, json};

/// A site with a second cloud, `bad`, whose mapper does what `config` says.
fn site_with_hostile_mapper(config: Value) -> Site {
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("hostile", &built::plugin("hostile").unwrap()).unwrap();
    let mut bad = site.config["cloud"][0].clone();
    bad["name"] = "bad".into();
    bad["mapper"] = "hostile".into();
    bad["mapper_config"] = config;
    site.config["cloud"].as_array_mut().unwrap().push(bad);
    site
}

fn compute_on(cloud: &str) -> Value {
    let mut body = small_compute("c");
    body["cloud"] = cloud.into();
    body
}

/// What an orderly site does, beside whatever happens on the bad cloud.
async fn the_good_cloud_serves(alice: &Client) {
    let order = create(alice, "computes", &compute_on("emulated")).await.unwrap();
    reaches(alice, id(&order), "fulfilled").await.unwrap();
}

/// Calls of a plugin by outcome, over all its functions.
fn calls(status: &Value, outcome: &str) -> u64 {
    let figures = status["figures"].as_object().unwrap();
    figures.values().filter_map(|figure| figure["calls"][outcome].as_u64()).sum()
}

async fn goes_into_quarantine_by(behaviour: &str, outcome: &str) {
    let site = site_with_hostile_mapper(json!({"behaviour": behaviour}));
    let daemon = site.start().await.unwrap();
    daemon.plugin_state("hostile", "live", None).await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut bad = Vec::new();
    for _ in 0..6 {
        bad.push(create(&alice, "computes", &compute_on("bad")).await.unwrap());
    }
    the_good_cloud_serves(&alice).await;
    let status = daemon.plugin_state("hostile", "quarantined", None).await.unwrap();
    assert!(calls(&status, outcome) > 0, "{status}");
    assert!(!status["last_error"].is_null(), "{status}");
    the_good_cloud_serves(&alice).await;
    // The orders are not lost by it: they wait for a better plugin, and can be deleted.
    let waiting = follow(&alice, id(&bad[0]), |_| true).await.unwrap();
    assert!(!waiting["state"].as_str().unwrap().starts_with("failed"), "{waiting}");
    delete(&alice, id(&bad[0])).await.unwrap().success().unwrap();
    reaches(&alice, id(&bad[0]), "closed").await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_never_answers_is_stopped_and_quarantined() {
    goes_into_quarantine_by("loop", "deadline").await;
}

#[tokio::test]
async fn a_plugin_that_traps_is_quarantined() {
    goes_into_quarantine_by("trap", "trap").await;
}

#[tokio::test]
async fn a_plugin_that_recurses_without_end_is_quarantined() {
    goes_into_quarantine_by("recurse", "trap").await;
}

#[tokio::test]
async fn a_plugin_that_takes_all_memory_meets_its_own_wall() {
    goes_into_quarantine_by("memory", "memory").await;
}

#[tokio::test]
async fn a_better_version_ends_the_quarantine() {
    let site = site_with_hostile_mapper(json!({"behaviour": "trap"}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &compute_on("bad")).await.unwrap();
    let trapped = daemon.plugin_when("hostile", |status| calls(status, "trap") > 0).await.unwrap();
    site.drop_plugin("hostile", &built::plugin("moved-mapper").unwrap()).unwrap();
    // Its configuration has no account; the order fails with the new plugin's own words instead of a trap.
    daemon.plugin_state("hostile", "live", trapped["digest"].as_str()).await.unwrap();
    let order = reaches(&alice, id(&order), "failed-on-request").await.unwrap();
    assert!(order["fault"]["message"].as_str().unwrap().contains("no default account"), "{order}");
}

#[tokio::test]
async fn a_host_that_was_not_granted_is_never_reached() {
    let forbidden = TcpListener::bind("127.0.0.1:0").unwrap();
    forbidden.set_nonblocking(true).unwrap();
    let url = format!("http://{}/secrets", forbidden.local_addr().unwrap());
    let site = site_with_hostile_mapper(json!({"behaviour": "call", "url": url}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &compute_on("bad")).await.unwrap();
    let order = follow(&alice, id(&order), |order| !order["fault"].is_null()).await.unwrap();
    let told = order["fault"]["message"].as_str().unwrap();
    assert!(told.contains("grant") || told.contains("denied") || told.contains("forbidden"), "{order}");
    let reached = forbidden.accept();
    assert!(matches!(&reached, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{reached:?}");
    the_good_cloud_serves(&alice).await;
}

#[tokio::test]
async fn a_flood_of_log_lines_stays_small() {
    let site = site_with_hostile_mapper(json!({"behaviour": "flood"}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &compute_on("bad")).await.unwrap();
    let was_called = |order: &Value| {
        order["state"] == "fulfilled" || !order["unreachable"].is_null() || !order["fault"].is_null()
    };
    follow(&alice, id(&order), was_called).await.unwrap();
    the_good_cloud_serves(&alice).await;
    assert!(daemon.log().len() < 4 << 20, "{} bytes of log", daemon.log().len());
}

#[tokio::test]
async fn an_account_too_large_to_keep_fails_its_order_alone() {
    let site = site_with_hostile_mapper(json!({"behaviour": "huge"}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &compute_on("bad")).await.unwrap();
    follow(&alice, id(&order), |order| !order["fault"].is_null()).await.unwrap();
    the_good_cloud_serves(&alice).await;
}

#[tokio::test]
async fn an_authorization_that_breaks_lets_nobody_through_and_never_the_administrator_out() {
    for behaviour in ["trap", "loop", "memory"] {
        let mut site = Site::temporary().unwrap();
        site.drop_plugin("hostile", &built::plugin("hostile").unwrap()).unwrap();
        let link = json!({"plugin": "hostile", "config": {"behaviour": "nothing"}});
        site.config["authorization"].as_array_mut().unwrap().push(link);
        let daemon = site.start().await.unwrap();
        let alice = daemon.login("alice").await.unwrap();
        alice.get("/v1/me").await.unwrap().success().unwrap();

        site.config["authorization"][1]["config"]["behaviour"] = behaviour.into();
        reload(&site, &daemon).await;
        let refused = alice.post("/v1/computes", &small_compute("c")).await.unwrap();
        assert_eq!(refused.status(), 503, "{behaviour}: {:?}", refused.json());
        assert_eq!(refused.json().unwrap()["type"], "urn:archipel:problem:aaa-unavailable");
        daemon.admin().get("/v1/orders").await.unwrap().success().unwrap();

        site.config["authorization"].as_array_mut().unwrap().pop();
        reload(&site, &daemon).await;
        the_good_cloud_serves(&alice).await;
    }
}

async fn reload(site: &Site, daemon: &Daemon) {
    site.write().unwrap();
    daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap().success().unwrap();
}

//! Another mapper while orders are in flight: what is there stays where it is and is served there, what comes lands in
//! the other account, and in the end both are empty.

use std::collections::BTreeSet;

use archipel_client::Client;
use archipel_model::SiteId;
use archipel_tests::built;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, delete_all, follow, id, reaches, small_compute};
use archipel_tests::site::{CLOUD_STORAGE, SITE_ID, Site};
use archipel_tests::torture::held::{account_key, held};
use serde_json::json;

/// The account of `mapper-all-to-one`, and that of `moved-mapper` in its place.
const OLD: &str = "shared";
const NEW: &str = "shared-moved";

#[tokio::test]
async fn orders_in_flight_survive_a_swap_and_a_restart() {
    swap_and(async |site, daemon| {
        assert!(daemon.stop().await.unwrap().success());
        site.start().await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn orders_in_flight_survive_a_swap_and_a_kill() {
    swap_and(async |site, daemon| {
        daemon.kill().unwrap();
        site.start().await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn orders_in_flight_survive_a_swap_while_the_site_serves() {
    swap_and(async |_, daemon| daemon).await;
}

async fn swap_and(then: impl AsyncFnOnce(&Site, Daemon) -> Daemon) {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] = json!({"latency_ms": 30, "boot_ms": 1500, "delete_ms": 50});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let before = order_twenty(&alice).await;
    // Half of them have reached the cloud, none is ready: the swap meets orders in every early state.
    for order in before.iter().take(10) {
        follow(&alice, order, |order| !order["instance"].is_null()).await.unwrap();
    }
    let old_mapper = daemon.plugin_state("mapper-all-to-one", "live", None).await.unwrap();
    site.drop_plugin("mapper-all-to-one", &built::plugin("moved-mapper").unwrap()).unwrap();
    daemon.plugin_state("mapper-all-to-one", "live", old_mapper["digest"].as_str()).await.unwrap();

    let daemon = then(&site, daemon).await;
    let alice = daemon.login("alice").await.unwrap();
    let after = order_twenty(&alice).await;
    for order in before.iter().chain(&after) {
        let order = reaches(&alice, order, "fulfilled").await.unwrap();
        assert!(order["unreachable"].is_null(), "{order}");
    }
    for order in &before {
        let order = alice.get(&format!("/v1/orders/{order}?refresh=true")).await.unwrap().success().unwrap();
        assert_eq!(order["state"], "fulfilled", "an order made before is polled under its own account");
    }
    assert!(daemon.stop().await.unwrap().success());
    let (old, new) = (orders_in(&site, OLD).await, orders_in(&site, NEW).await);
    assert!(
        before.iter().take(10).all(|order| old.contains(order)),
        "what had reached the cloud stays in its account"
    );
    assert!(
        after.iter().all(|order| new.contains(order)),
        "what was ordered afterwards is in the new account"
    );
    assert!(old.is_disjoint(&new), "no order has instances in both");
    assert_eq!(old.len() + new.len(), before.len() + after.len());

    let daemon = site.start().await.unwrap();
    delete_all(&daemon.login("alice").await.unwrap()).await.unwrap();
    assert!(daemon.stop().await.unwrap().success());
    assert!(orders_in(&site, OLD).await.is_empty(), "the old account is empty");
    assert!(orders_in(&site, NEW).await.is_empty(), "the new account is empty");
}

async fn order_twenty(client: &Client) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0..20 {
        made.push(
            id(&create(client, "computes", &small_compute(&format!("c{n}"))).await.unwrap()).to_owned(),
        );
    }
    made
}

/// Orders that have an instance in an account, as the cloud itself has it.
async fn orders_in(site: &Site, account: &str) -> BTreeSet<String> {
    let id: SiteId = SITE_ID.parse().unwrap();
    let held = held(&site.data_dir(), &id, CLOUD_STORAGE).await.unwrap();
    let instances = held.values().flatten().filter(|instance| instance.account == account_key(account));
    instances.filter_map(|instance| instance.tag.rsplit(':').next().map(str::to_owned)).collect()
}

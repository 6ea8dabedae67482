//! The identity mapper is swapped while orders keep flowing. What was ordered before stays in its account and is served
//! there; what is ordered afterwards lands in another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use archipel_tests::{built, orders};
use serde_json::{Value, json};

use super::{order, text};
use crate::say::{heading, line};

const BEFORE: &str = "mapper-all-to-one";
const AFTER: &str = "mapper-by-group";

/// Gives the compute that was ordered afterwards.
pub(super) async fn walk(site: &mut Site, daemon: &Daemon, alice: &Client, old: &Value) -> Result<Value> {
    heading("the mapper is swapped while bob keeps ordering");
    line(&format!(
        "until now everybody is one account ({BEFORE}); it holds {} instances",
        instances(alice).await?
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let flow = tokio::spawn(keep_ordering(daemon.login("bob").await?, stop.clone()));

    site.drop_plugin(AFTER, &built::plugin(AFTER)?)?;
    line(&format!("{AFTER}.wasm is dropped"));
    daemon.plugin_seen(AFTER).await?;
    site.config["cloud"][0]["mapper"] = AFTER.into();
    site.config["cloud"][0]["mapper_config"] = json!({
        "rules": [
            {"group": "physics", "account": "physics"},
            {"group": "biology", "account": "biology"},
        ],
        "also_serves": [{"account": "shared"}],
    });
    site.write()?;
    let reloaded = daemon.admin().post("/v1/admin/config/actions/reload", &Value::Null).await?.success()?;
    line(&format!("the site file names it now and is taken live: {reloaded}"));
    daemon.plugin_state(AFTER, "live", None).await?;

    let created = orders::create(alice, "computes", &orders::small_compute("after")).await?;
    let new = order::follow_all(alice, &[created]).await?.pop().context("the new compute")?;
    let held = instances(alice).await?;
    if held != 1 {
        bail!("alice's account holds {held} instances and should hold the new one alone");
    }
    line(&format!(
        "compute {:?} is in alice's new account, which holds 1 instance: this one",
        text(&new, "name")
    ));
    let old = alice.get(&format!("/v1/orders/{}?refresh=true", orders::id(old))).await?.success()?;
    if old["state"] != "fulfilled" || !old["unreachable"].is_null() {
        bail!("the old order is not served any more: {old}");
    }
    let status = text(&old["instance"], "status");
    line(&format!(
        "compute {:?} is where it was, and its account still answers: {status}",
        text(&old, "name")
    ));

    stop.store(true, Ordering::SeqCst);
    let (bob, made) = flow.await.context("bob's orders")??;
    for id in &made {
        orders::reaches(&bob, id, "fulfilled").await?;
    }
    line(&format!("bob ordered {} volumes meanwhile; all were accepted and are fulfilled", made.len()));
    Ok(new)
}

/// Instances in the local account that the caller becomes now, as the cloud counts.
async fn instances(client: &Client) -> Result<u64> {
    let quota = client.get("/v1/clouds/emulated/quota").await?.success()?;
    let entries = quota["entries"].as_array().context("quota entries")?;
    let entry =
        entries.iter().find(|entry| entry["name"] == "instances").context("the entry of instances")?;
    entry["used"].as_u64().context("a number of instances")
}

/// Orders a volume now and then until told to stop; any refusal ends the demo.
async fn keep_ordering(bob: Client, stop: Arc<AtomicBool>) -> Result<(Client, Vec<String>)> {
    let mut made = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let body = json!({"name": format!("flow-{}", made.len()), "size_gib": 1});
        let order = orders::create(&bob, "volumes", &body).await?;
        made.push(orders::id(&order).to_owned());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok((bob, made))
}

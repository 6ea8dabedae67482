//! The plug is pulled, with an order just accepted. After the start everything is as it was, and that order goes on.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders;
use archipel_tests::site::Site;

use super::text;
use crate::say::{heading, line};

/// Gives the daemon that serves afterwards. The old token still works: sessions are durable too.
pub(super) async fn walk(site: &Site, daemon: Daemon, alice: &Client) -> Result<Daemon> {
    heading("the plug is pulled");
    let before = snapshot(&daemon).await?;
    let last = orders::create(alice, "computes", &orders::small_compute("last")).await?;
    let status = daemon.kill()?;
    line(&format!("one more compute was accepted, and at once the daemon was killed ({status})"));
    let daemon = site.start().await?;
    let after = snapshot(&daemon).await?;
    for (id, was) in &before {
        match after.get(id) {
            Some(is) if is == was => {}
            is => bail!("order {id} was {was:?} and is {is:?}"),
        }
    }
    line(&format!(
        "started again: all {} orders are there, in the same state, with the same instances",
        before.len()
    ));
    let last = orders::reaches(alice, orders::id(&last), "fulfilled").await?;
    line(&format!(
        "alice's token still works, and compute {:?} is fulfilled: {}",
        text(&last, "name"),
        text(&last["instance"], "id")
    ));
    Ok(daemon)
}

/// State and instance of every order.
async fn snapshot(daemon: &Daemon) -> Result<BTreeMap<String, (String, String)>> {
    let orders = orders::all(&daemon.admin(), "").await?;
    let entry = |order: &serde_json::Value| {
        (
            text(order, "id").to_owned(),
            (text(order, "state").to_owned(), text(&order["instance"], "id").to_owned()),
        )
    };
    Ok(orders.iter().map(entry).collect())
}

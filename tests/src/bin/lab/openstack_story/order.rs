//! From one request to a machine with a disk on a network, as both sides tell it.

use anyhow::{Context, Result, ensure};
use archipel_client::Client;
use archipel_tests::orders;
use serde_json::{Value, json};

use super::{Story, all_fulfilled, heading, line, order_all, text};

/// Gives the compute.
pub(super) async fn walk(story: &Story, alice: &Client) -> Result<Value> {
    heading(
        "alice orders a network, a compute on it, a volume, and the volume on the compute, in one request",
    );
    let request = vec![
        json!({"kind": "network", "name": "back", "cidr": "10.20.0.0/24"}),
        json!({"kind": "compute", "name": "web", "image": "@cirros", "vcpu": 1, "ram_mib": 1024, "disk_gib": 10,
               "networks": [{"order": "$0"}], "user_data": "#!/bin/sh\necho hello\n"}),
        json!({"kind": "volume", "name": "data", "size_gib": 3}),
        json!({"kind": "attachment", "name": "data on web", "compute": "$1", "volume": "$2"}),
    ];
    let made = order_all(alice, request).await?;
    let done = all_fulfilled(alice, &made).await?;
    let [network, compute, volume, attachment] = done.as_slice() else {
        anyhow::bail!("four orders: {done:?}")
    };
    line("all four are fulfilled");
    let allocation = &compute["instance"]["allocation"];
    ensure!(
        allocation["ram_mib"] == 2048 && allocation["vcpu"] == 1,
        "the smallest that fits is m1.small: {compute}"
    );
    let address =
        compute["instance"]["addresses"][0].as_str().with_context(|| format!("an address: {compute}"))?;
    ensure!(address.starts_with("10.20.0."), "an address of her network: {compute}");

    let held = story.physics.everything().await?;
    for (order, what, status) in
        [(network, "network", "ACTIVE"), (compute, "server", "ACTIVE"), (volume, "volume", "in-use")]
    {
        let id = text(&order["instance"], "id");
        let it = held.iter().find(|one| one.what == what && one.id == id);
        let it = it.with_context(|| format!("{what} {id} among what the project holds: {held:?}"))?;
        ensure!(it.status == status, "{what} {id} is {}", it.status);
        ensure!(
            it.tag == format!("archipel:{}:{}", story.site.id(), orders::id(order)),
            "{what} {id} carries {:?}",
            it.tag
        );
        line(&format!("the cloud says: {what} {id} is {status}, of order {}", orders::id(order)));
    }
    let volumes = story.physics.volumes().await?;
    let attached = volumes.iter().find(|one| one["id"] == volume["instance"]["id"]).context("the volume")?;
    ensure!(
        attached["attachments"][0]["server_id"] == compute["instance"]["id"],
        "attached elsewhere: {attached}"
    );
    ensure!(attachment["depends_on"].as_array().is_some_and(|on| on.len() == 2), "{attachment}");
    Ok(compute.clone())
}

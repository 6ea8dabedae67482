//! From a request to a machine with a disk on a network.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use archipel_tests::orders;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::text;
use crate::say::{heading, line};

/// Orders four things in one request, each resting on earlier ones, and follows them; gives the compute.
pub(super) async fn walk(alice: &Client) -> Result<Value> {
    heading("she orders a network, a compute on it, a volume, and the volume on the compute, in one request");
    let request = json!({"orders": [
        {"kind": "network", "name": "back", "cidr": "10.20.0.0/24"},
        {"kind": "compute", "name": "web", "image": "@debian", "vcpu": 2, "ram_mib": 2048, "networks": [{"order": "$0"}]},
        {"kind": "volume", "name": "data", "size_gib": 10},
        {"kind": "attachment", "name": "data on web", "compute": "$1", "volume": "$2"},
    ]});
    let answer = alice.post("/v1/orders", &request).await?.success()?;
    let results = answer["results"].as_array().context("results")?;
    let mut made = Vec::new();
    for result in results {
        if result["status"] != 201 {
            bail!("refused: {result}");
        }
        made.push(result["order"].clone());
    }
    let done = follow_all(alice, &made).await?;
    let compute = done.into_iter().find(|order| order["kind"] == "compute").context("the compute")?;
    let addresses: Vec<&str> =
        compute["instance"]["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    line(&format!("the compute is {} at {}", text(&compute["instance"], "id"), addresses.join(", ")));
    Ok(compute)
}

/// Prints every state that orders come into, until all are fulfilled.
pub(super) async fn follow_all(client: &Client, made: &[Value]) -> Result<Vec<Value>> {
    let began = Instant::now();
    let mut all = JoinSet::new();
    for order in made {
        let (client, id) = (client.clone(), orders::id(order).to_owned());
        let name = format!("{} {:?}", text(order, "kind"), text(order, "name"));
        all.spawn(async move {
            let mut last = String::new();
            orders::follow(&client, &id, |order| {
                let state = text(order, "state");
                if state != last {
                    line(&format!("+{:>5.2} s  {name:<26} {state}", began.elapsed().as_secs_f64()));
                    state.clone_into(&mut last);
                }
                state == "fulfilled" || state.starts_with("failed") || state == "closed"
            })
            .await
        });
    }
    let mut done = Vec::new();
    while let Some(order) = all.join_next().await {
        let order = order.context("following an order")??;
        if order["state"] != "fulfilled" {
            bail!("not fulfilled: {order}");
        }
        done.push(order);
    }
    Ok(done)
}

/// Deletes the old compute with what rests on it, and the new one: each under the account that made it.
pub(super) async fn end(alice: &Client, old: &Value, new: &Value) -> Result<()> {
    heading("both computes are deleted, each under the account that made it");
    for order in [old, new] {
        orders::delete(alice, orders::id(order)).await?.success()?;
    }
    for order in [old, new] {
        let order = orders::reaches(alice, orders::id(order), "closed").await?;
        line(&format!("compute {:?} is closed", text(&order, "name")));
    }
    Ok(())
}

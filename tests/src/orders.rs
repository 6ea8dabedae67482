//! What tests do with orders, over REST.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use serde_json::{Value, json};

/// The body of a small compute.
pub fn small_compute(name: &str) -> Value {
    json!({"name": name, "image": "@cirros", "vcpu": 1, "ram_mib": 256})
}

/// Creates in a collection (`computes`, ...) and gives the order.
///
/// # Errors
/// When the site refuses.
pub async fn create(client: &Client, collection: &str, body: &Value) -> Result<Value> {
    Ok(client.post(&format!("/v1/{collection}"), body).await?.success()?)
}

/// The order now.
///
/// # Errors
/// When the site refuses.
pub async fn show(client: &Client, id: &str) -> Result<Value> {
    Ok(client.get(&format!("/v1/orders/{id}")).await?.success()?)
}

/// Waits until the order is in `state`.
///
/// # Errors
/// When it is not within a minute, or has ended otherwise.
pub async fn reaches(client: &Client, id: &str, state: &str) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let order = show(client, id).await?;
        let now = order["state"].as_str().context("an order's state")?;
        if now == state {
            return Ok(order);
        }
        if now.starts_with("failed") || now == "closed" || Instant::now() > until {
            bail!("order {id} is {now} and not {state}: {order}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Every order that the caller sees, closed ones too if asked for.
///
/// # Errors
/// When the site refuses.
pub async fn all(client: &Client, query: &str) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut path = format!("/v1/orders?limit=1000{query}");
    loop {
        let page = client.get(&path).await?.success()?;
        items.extend(page["items"].as_array().context("a list")?.iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/orders?limit=1000{query}&cursor={next}"),
            None => return Ok(items),
        }
    }
}

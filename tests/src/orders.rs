//! Orders as a client handles them: create, wait until settled, delete, wait until closed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use http::Method;
use serde_json::Value;

/// Orders something; `collection` as in `computes`.
///
/// # Errors
/// When the site refuses.
pub async fn create(client: &Client, collection: &str, body: &Value) -> Result<Value> {
    let answer = client.post(&format!("/v1/{collection}"), body).await?;
    answer.success().with_context(|| format!("creating in {collection}: {body}"))
}

/// The order as it is now.
///
/// # Errors
/// When the site refuses.
pub async fn show(client: &Client, id: &str) -> Result<Value> {
    Ok(client.get(&format!("/v1/orders/{id}")).await?.success()?)
}

/// Waits until the order is in one of these states; the site wakes us, nothing is polled.
///
/// # Errors
/// When it settles elsewhere or the time is over.
pub async fn wait_for(client: &Client, id: &str, states: &[&str], at_most: Duration) -> Result<Value> {
    let began = Instant::now();
    let mut etag: Option<String> = None;
    loop {
        let mut headers = vec![("prefer", "wait=20")];
        if let Some(etag) = &etag {
            headers.push(("if-none-match", etag));
        }
        let answer = client.send(Method::GET, &format!("/v1/orders/{id}"), &headers, None).await?;
        if answer.status() != 304 {
            etag = answer.header("etag").map(ToOwned::to_owned);
            let order = answer.success()?;
            let state = order.get("state").and_then(Value::as_str).unwrap_or_default().to_owned();
            if states.contains(&state.as_str()) {
                return Ok(order);
            }
            if ["failed-on-request", "failed-after-request", "closed"].contains(&state.as_str()) {
                bail!("order {id} came to {state}, not to {}: {order}", states.join(" or "));
            }
        }
        if began.elapsed() > at_most {
            bail!("order {id} did not come to {} within {} s", states.join(" or "), at_most.as_secs());
        }
    }
}

/// Waits until the order is fulfilled.
///
/// # Errors
/// When it fails or takes more than a minute.
pub async fn fulfilled(client: &Client, id: &str) -> Result<Value> {
    wait_for(client, id, &["fulfilled"], Duration::from_secs(60)).await
}

/// Deletes the order and waits until it is closed.
///
/// # Errors
/// When the site refuses or it takes more than a minute.
pub async fn delete(client: &Client, id: &str) -> Result<()> {
    client.delete(&format!("/v1/orders/{id}")).await?.success().with_context(|| format!("deleting {id}"))?;
    wait_for(client, id, &["closed"], Duration::from_secs(60)).await.map(|_| ())
}

/// The order's id.
///
/// # Errors
/// When it has none.
pub fn id(order: &Value) -> Result<&str> {
    order.get("id").and_then(Value::as_str).context("an order without an id")
}

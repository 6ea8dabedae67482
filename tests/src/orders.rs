//! What tests do with orders, over REST. Waiting is the site's: `Prefer: wait` answers when something changes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::{Answer, Client};
use http::Method;
use serde_json::{Value, json};

/// The longest that an order may take to where a test wants it; generous, because machines are busy and clouds are slow.
const MOST: Duration = Duration::from_secs(300);

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

/// The id of an order.
pub fn id(order: &Value) -> &str {
    order["id"].as_str().unwrap_or_else(|| panic!("an order without an id: {order}"))
}

/// The order now.
///
/// # Errors
/// When the site refuses.
pub async fn show(client: &Client, id: &str) -> Result<Value> {
    Ok(client.get(&format!("/v1/orders/{id}")).await?.success()?)
}

/// Follows an order, from what it is now on, and tells `see` whatever the site tells, until that says stop.
///
/// # Errors
/// When the site refuses, or nothing ends it in time.
pub async fn follow(client: &Client, id: &str, mut see: impl FnMut(&Value) -> bool) -> Result<Value> {
    let until = Instant::now() + MOST;
    let mut etag: Option<String> = None;
    let mut last = Value::Null;
    loop {
        let mut headers = Vec::new();
        if let Some(etag) = &etag {
            headers.extend([("if-none-match", etag.as_str()), ("prefer", "wait=10")]);
        }
        let answer = client.send(Method::GET, &format!("/v1/orders/{id}"), &headers, None).await?;
        if answer.status() != 304 {
            etag = answer.header("etag").map(str::to_owned);
            last = answer.success()?;
            if see(&last) {
                return Ok(last);
            }
        }
        if Instant::now() > until {
            bail!("order {id} is still {}: {last}", last["state"]);
        }
    }
}

/// Waits until the order is in `state`.
///
/// # Errors
/// When it is not in time, or has ended otherwise.
pub async fn reaches(client: &Client, id: &str, state: &str) -> Result<Value> {
    let order = follow(client, id, |order| {
        let now = order["state"].as_str().unwrap_or_default();
        now == state || now.starts_with("failed") || now == "closed"
    })
    .await?;
    if order["state"] != state {
        bail!("order {id} is {} and not {state}: {order}", order["state"]);
    }
    Ok(order)
}

/// Deletes an order with what rests on it.
///
/// # Errors
/// When nobody answers.
pub async fn delete(client: &Client, id: &str) -> Result<Answer> {
    let headers = [("if-match", "*")];
    Ok(client.send(Method::DELETE, &format!("/v1/orders/{id}?cascade=true"), &headers, None).await?)
}

/// Deletes everything that the caller sees, and waits until it is gone.
///
/// # Errors
/// When the site refuses, or an order does not close.
pub async fn delete_all(client: &Client) -> Result<()> {
    let ids: Vec<String> = all(client, "").await?.iter().map(|order| id(order).to_owned()).collect();
    for id in &ids {
        delete(client, id).await?.success().with_context(|| format!("deleting {id}"))?;
    }
    for id in &ids {
        reaches(client, id, "closed").await?;
    }
    Ok(())
}

/// Every order that the caller sees; `query` begins with `&`, and closed ones are listed only with `&state=closed`.
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

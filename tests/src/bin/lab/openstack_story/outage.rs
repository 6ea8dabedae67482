//! Nova goes away, and comes back.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use archipel_client::Client;
use archipel_tests::openstack::site::CLOUD;
use archipel_tests::orders::{self, small_compute};
use serde_json::Value;

use super::{Story, heading, line, text};

/// The longest that an order may take to tell that its cloud is away, or back.
const NOTICED: Duration = Duration::from_secs(60);

pub(super) async fn walk(story: &Story, alice: &Client, away: Duration) -> Result<()> {
    heading(&format!("Nova is stopped for {} s", away.as_secs()));
    let before = fulfilled_computes(alice).await?;
    let stopping = Instant::now();
    story.peer.stop("nova-api").await?;
    let began = Instant::now();
    let ordered = orders::create(alice, "computes", &small_compute("patient")).await?;
    until(alice, "unreachable", |order| !order["unreachable"].is_null()).await?;
    line(&format!(
        "{before} computes are unreachable {:.1} s after Nova was told to end",
        stopping.elapsed().as_secs_f64()
    ));
    let shown = fulfilled(alice).await?;
    if let Some(one) = shown.first() {
        line(&format!(
            "as in: {} ({})",
            text(&one["unreachable"], "reason"),
            text(&one["unreachable"], "scope")
        ));
    }
    let quota = alice.get(&format!("/v1/clouds/{CLOUD}/quota")).await?;
    ensure!(
        quota.status() == 503 && quota.header("retry-after").is_some(),
        "a quota without Nova: {}",
        quota.status()
    );
    let asked = alice.get(&format!("/v1/orders/{}?refresh=true", orders::id(&ordered))).await?.success()?;
    ensure!(
        !text(&asked, "state").starts_with("failed"),
        "an order failed for a cloud that is away: {asked}"
    );

    while began.elapsed() < away {
        let now = fulfilled_computes(alice).await?;
        ensure!(now == before, "{before} computes were fulfilled, and now {now} are");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let still = orders::show(alice, orders::id(&ordered)).await?;
    ensure!(!text(&still, "state").starts_with("failed"), "it failed for a cloud that is away: {still}");
    line("all of them stayed fulfilled; one more was ordered, and waits");

    story.peer.start().await?;
    let back = Instant::now();
    until(alice, "reachable", |order| order["unreachable"].is_null()).await?;
    line(&format!("all are reachable {:.1} s after Nova is back", back.elapsed().as_secs_f64()));
    orders::reaches(alice, orders::id(&ordered), "fulfilled").await?;
    line(&format!("and the one that waited is fulfilled after {:.1} s", back.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until every fulfilled compute is so.
async fn until(client: &Client, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let began = Instant::now();
    loop {
        let all = fulfilled(client).await?;
        let Some(other) = all.iter().find(|order| !is_so(order)) else { return Ok(()) };
        if began.elapsed() > NOTICED {
            bail!("not {what} after {} s: {other}", NOTICED.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn fulfilled_computes(client: &Client) -> Result<usize> {
    Ok(fulfilled(client).await?.len())
}

async fn fulfilled(client: &Client) -> Result<Vec<Value>> {
    let all = orders::all(client, "&state=fulfilled").await?;
    Ok(all.into_iter().filter(|order| order["kind"] == "compute").collect())
}

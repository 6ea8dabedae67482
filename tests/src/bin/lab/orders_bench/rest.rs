//! Orders made over REST, through all AAA plugins, by clients that share the processors with the site.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archipel_tests::orders::small_compute;
use archipel_tests::site::Site;
use serde_json::json;

/// Clients at once.
const CLIENTS: usize = 64;

/// What the cloud does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    /// Nothing: orders are accepted and wait.
    InMaintenance,
    /// It works on them.
    AtWork,
}

/// Creates per second as clients see them.
pub(super) async fn creates_per_second(cloud: Cloud, seconds: u64) -> Result<f64> {
    let mut site = Site::temporary()?;
    site.config["limits"] = json!({
        "identity": {"logins_per_second": 1000.0, "login_burst": 1000},
        // More than the clients can make: here nothing is to be held back.
        "orders": {"backlog_most": 10_000_000},
    });
    if cloud == Cloud::InMaintenance {
        site.config["cloud"][0]["state"] = "maintenance".into();
    }
    let daemon = site.start().await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(daemon.login("alice").await?);
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut working = tokio::task::JoinSet::new();
    for client in clients {
        working.spawn(async move {
            let mut made = 0_u32;
            while Instant::now() < until {
                let answer = client.post("/v1/computes", &small_compute("bench")).await?;
                ensure!(answer.status() == 201, "a create was answered {}", answer.status());
                made += 1;
            }
            Ok(made)
        });
    }
    let mut made = 0.0;
    while let Some(client) = working.join_next().await {
        made += f64::from(client.context("a client broke")??);
    }
    let rate = made / began.elapsed().as_secs_f64();
    daemon.kill()?;
    Ok(rate)
}

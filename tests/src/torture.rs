//! The kill test: a real daemon under many clients, an emulated cloud that shows late what it made, loses answers and
//! fails in every way it can, and in each round `kill -9` at a fail point or at random, or SIGSTOP until the daemon's claims
//! have run out, with a clock that jumps; restart, and three ledgers compared: what clients were told, what the store holds,
//! what the cloud holds. Nothing acknowledged may be lost, no instance doubled, none orphaned.

pub mod client;
pub mod held;
mod plan;
pub mod told;
pub mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use archipel_client::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::daemon::Daemon;
use crate::orders;
use crate::site::{CLOUD_STORAGE, SITE_ID, Site};
use client::Flags;
use plan::Plan;
use told::Told;
use verdict::{Verdict, compare};

/// After so many rounds everything is let settle and the ledgers are compared.
const COMPARE_EVERY: usize = 10;

/// How to torture.
#[derive(Clone, Debug)]
pub struct Torture {
    /// How often the daemon is ended.
    pub rounds: usize,
    /// How many clients order and delete meanwhile.
    pub clients: usize,
    /// Where the random choices start: a run can be repeated (as far as two schedulers agree).
    pub seed: u64,
}

/// Runs it, and tells `progress` of every round.
///
/// # Errors
/// When the daemon does not come back, or orders do not settle.
pub async fn run(torture: &Torture, mut progress: impl FnMut(&str)) -> Result<Verdict> {
    let mut rng = StdRng::seed_from_u64(torture.seed);
    let mut site = Site::temporary()?;
    // Clients keep their address over every restart.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    site.config["site"]["listen"] = format!("127.0.0.1:{port}").into();
    site.config["limits"] = json!({
        "identity": {"logins_per_second": 1000.0, "login_burst": 1000},
        "orders": {"claim_ttl_ms": plan::CLAIM_TTL.as_millis() as u64},
    });
    site.config["cloud"][0]["config"] = json!({
        "latency_ms": 2,
        "boot_ms": 150,
        "delete_ms": 80,
        "visibility_ms": 900,
        // TOML knows signed integers only.
        "seed": torture.seed >> 1,
        "faults": [
            {"operation": "request", "mode": "answer-lost", "rate": 0.15},
            {"operation": "request", "mode": "transient", "rate": 0.05},
            // Rare, because a driver that traps often is given a rest, and everything waits for it.
            {"operation": "request", "mode": "trap", "rate": 0.002},
            {"operation": "request", "mode": "boot-fails", "rate": 0.02},
            {"operation": "request", "mode": "quota-exceeded", "rate": 0.02},
            {"operation": "request", "mode": "permanent", "rate": 0.02},
            {"operation": "get", "mode": "unauthenticated", "rate": 0.02},
            {"operation": "get", "mode": "transient", "rate": 0.05},
            {"operation": "find", "mode": "transient", "rate": 0.05},
            {"operation": "delete", "mode": "transient", "rate": 0.1},
            {"operation": "delete", "mode": "answer-lost", "rate": 0.05},
            {"operation": "delete", "mode": "conflict", "rate": 0.03},
            {"operation": "delete", "mode": "trap", "rate": 0.002},
        ],
    });
    let told = Arc::new(Told::default());
    let logged_in = log_in(&site, torture.clients).await?;
    let mut verdict = Verdict::default();
    let mut round = 0;
    while round < torture.rounds {
        let flags = Arc::new(Flags::default());
        let mut clients = tokio::task::JoinSet::new();
        for client in &logged_in {
            clients.spawn(client::run(client.clone(), rng.r#gen(), told.clone(), flags.clone()));
        }
        let until = (round + COMPARE_EVERY).min(torture.rounds);
        while round < until {
            round += 1;
            let plan = Plan::of(&mut rng);
            progress(&format!("round {round}: {plan}"));
            plan.carry_out(&site).await?;
        }
        verdict = settle_and_compare(&site, &told, &flags, clients).await?;
        progress(&format!("after {round} rounds: {verdict}"));
        if !verdict.is_clean() {
            break;
        }
    }
    Ok(verdict)
}

/// Clients whose sessions outlive every daemon. A killed daemon answers nothing: they do not wait long to find out.
async fn log_in(site: &Site, clients: usize) -> Result<Vec<Client>> {
    let daemon = site.start().await?;
    let mut logged_in = Vec::new();
    for _ in 0..clients {
        logged_in.push(daemon.login("alice").await?.with_timeout(Duration::from_secs(10)));
    }
    daemon.stop().await?;
    Ok(logged_in)
}

async fn settle_and_compare(
    site: &Site,
    told: &Arc<Told>,
    flags: &Flags,
    mut clients: tokio::task::JoinSet<()>,
) -> Result<Verdict> {
    let daemon = site.start().await?;
    flags.drain.store(true, Ordering::SeqCst);
    let ends = async {
        while let Some(ended) = clients.join_next().await {
            ended.context("a client broke")?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(120), ends).await.context("clients still have no answer")??;
    let stored = settled(&daemon).await?;
    daemon.stop().await?;
    let held = held::held(&site.data_dir(), &SITE_ID.parse()?, CLOUD_STORAGE).await?;
    let mut verdict = compare(SITE_ID, &told.orders(), &stored, &held);
    verdict.violations.extend(told.violations());
    Ok(verdict)
}

/// The state of every order by id, once none is on its way any more.
async fn settled(daemon: &Daemon) -> Result<BTreeMap<String, String>> {
    let until = Instant::now() + Duration::from_secs(180);
    loop {
        let mut orders = orders::all(&daemon.admin(), "").await?;
        orders.extend(orders::all(&daemon.admin(), "&state=closed").await?);
        let states: BTreeMap<String, String> =
            orders.iter().map(|order| (text(&order["id"]), text(&order["state"]))).collect();
        let moving: Vec<&serde_json::Value> =
            orders.iter().filter(|order| !is_settled(&text(&order["state"]))).collect();
        match moving.first() {
            None => return Ok(states),
            Some(first) if Instant::now() > until => {
                bail!("{} orders do not settle, e.g. {first}\n{}", moving.len(), daemon.log_tail())
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
}

fn is_settled(state: &str) -> bool {
    verdict::is_steady(state) || matches!(state, "failed-on-request" | "failed-after-request" | "closed")
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

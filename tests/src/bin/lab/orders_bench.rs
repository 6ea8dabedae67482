//! `cargo xtask bench orders`: how many orders are made durable, beside the same rows inserted into PostgreSQL on the same
//! disk and processors in the same run, and what a store costs that has a million of them.
//!
//! | row | ours | baseline |
//! |---|---|---|
//! | P3a-N | durable accepts/s at the store's own interface, N clients | transactions/s of the same rows, through a pool of as many connections, at most 64 |
//! | P3b | creates/s over REST by 64 clients with all AAA plugins, the cloud in maintenance | as P3a-64 |
//! | P3b-working | the same with the cloud at work on them meanwhile | as P3a-64 |
//! | SSE-1000 | events/s delivered to 1,000 readers of `/v1/events` as streams, over all of them | a bare axum server that sends the same bytes |
//! | P4-ready | seconds from a daemon's start to its `ready.json`, with the large store | |
//! | P4-memory | MiB that daemon holds then | |
//! | P4-page-rest, P4-page | ms of the slowest but 1 % of pages of 100: over REST, at the store's interface | |
//! | P4-creates | accepts/s of 64 clients in the large store | in an empty one |
//! | P4-disk, P4-disk-compact | bytes on disk per order, as it has grown, after `archipel store compact` | bytes of the order's record as JSON |

mod accepts;
mod fanout;
mod large;
mod postgres;
mod rest;

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

/// What to compare with, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A PostgreSQL, as `postgres://USER@HOST:PORT/DATABASE`. A table is made and dropped there.
    #[arg(long)]
    postgres: String,
    /// Its load generator.
    #[arg(long)]
    pgbench: PathBuf,
    /// Seconds that each rate is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only the streams of events.
    #[arg(long)]
    only_fanout: bool,
    /// Orders of the large store; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    orders: u64,
}

/// Clients at once for which rates are told.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];

/// Measures.
pub(crate) async fn run(options: Options) -> Result<bool> {
    if options.only_fanout {
        fan_out().await?;
        return Ok(true);
    }
    let postgres = postgres::Postgres::prepare(&options.postgres, &options.pgbench)?;
    let mut at_64 = 0.0;
    for clients in CLIENTS {
        let theirs = postgres.transactions_per_second(clients, options.seconds)?;
        let ours = accepts::in_a_fresh_store(clients, options.seconds).await?;
        if clients == 64 {
            at_64 = theirs;
        }
        let goal = (clients == 64).then_some(">=5");
        row(
            &format!("P3a-{clients}"),
            "durable creates at the store's interface over rows in PostgreSQL",
            ours,
            Some(theirs),
            "1/s",
            goal,
        );
    }
    drop(postgres);
    let idle = rest::creates_per_second(rest::Cloud::InMaintenance, options.seconds).await?;
    row(
        "P3b",
        "creates over REST with all AAA plugins over rows in PostgreSQL, 64 clients",
        idle,
        Some(at_64),
        "1/s",
        Some(">=0.5"),
    );
    let working = rest::creates_per_second(rest::Cloud::AtWork, options.seconds).await?;
    row("P3b-working", "the same while the cloud works on them", working, Some(at_64), "1/s", None);
    fan_out().await?;
    if options.orders > 0 {
        large::measure(options.orders, options.seconds).await?;
    }
    Ok(true)
}

async fn fan_out() -> Result<()> {
    let (ours, bare) = fanout::deliveries_per_second().await?;
    let what = "events delivered to 1,000 readers over a bare server-sent broadcast";
    row("SSE-1000", what, ours, Some(bare), "1/s", None);
    Ok(())
}

fn row(id: &str, what: &str, ours: f64, baseline: Option<f64>, unit: &str, goal: Option<&str>) {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let mut row =
        json!({"id": id, "what": what, "ours": round(ours), "baseline": baseline.map(round), "unit": unit});
    if let Some(goal) = goal {
        row["goal"] = Value::from(goal);
    }
    println!("archipel-bench: {row}");
}

/// A figure with a bound of its own instead of a baseline: the ratio is to the bound.
fn bounded(id: &str, what: &str, ours: f64, bound: f64, unit: &str) {
    row(id, what, ours, Some(bound), unit, Some("<=1"));
}

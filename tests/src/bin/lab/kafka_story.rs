//! Events of a site on a broker that goes away, from a daemon that is killed meanwhile; read by a consumer that shares
//! nothing with the producer, and compared with what the site says happened.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::{Value, json};

use crate::say::line;

const TOPIC: &str = "archipel.events";
/// Orders of each part.
const ORDERS: usize = 30;

/// Where the broker is, and what ends and starts it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its name, for the table.
    #[arg(long)]
    name: String,
    /// `host:port`.
    #[arg(long)]
    bootstrap: String,
    /// The command that takes it away.
    #[arg(long)]
    away: String,
    /// The command that brings it back.
    #[arg(long)]
    back: String,
    /// The command that prints a topic's records as lines of JSON; bootstrap and topic are added.
    #[arg(long)]
    consume: String,
    /// TLS towards the broker, trusting this file.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// As (id, subject).
type Events = Vec<(String, String)>;

pub(crate) async fn run(options: &Options) -> Result<bool> {
    let mut site = Site::temporary()?;
    site.config["events"] = json!({"kafka": [{
        "name": "bus", "brokers": [options.bootstrap], "topic": TOPIC, "timeout_s": 2,
    }]});
    if let Some(ca) = &options.ca {
        site.config["events"]["kafka"][0]["tls"] = json!({ "ca": ca });
    }
    let daemon = site.start().await?;
    let with = fulfilled(&daemon).await?;
    line(&format!("{ORDERS} orders are fulfilled in {} ms with the broker", with.as_millis()));
    wait_for(&daemon, "all is sent", |bus| bus["waiting"] == 0 && bus["sent"] != 0).await?;

    command(&options.away)?;
    let without = fulfilled(&daemon).await?;
    line(&format!("{ORDERS} orders are fulfilled in {} ms without it", without.as_millis()));
    let bus = wait_for(&daemon, "it waits", |bus| bus["state"] == "waiting").await?;
    line(&format!("the publisher waits: {}", bus["last_error"].as_str().unwrap_or_default()));
    daemon.kill()?;
    line("the daemon is killed");
    let daemon = site.start().await?;
    fulfilled(&daemon).await?;
    command(&options.back)?;
    let began = Instant::now();
    let bus = wait_for(&daemon, "all is sent", |bus| bus["waiting"] == 0 && bus["sent"] != 0).await?;
    line(&format!(
        "{} events are sent {} ms after the broker is back",
        bus["sent"],
        began.elapsed().as_millis()
    ));

    let events = all_events(&daemon.admin()).await?;
    let records = consume(options)?;
    let orders = compare(&events, &records)?;
    daemon.stop().await?;
    println!(
        "peer: {}: {} events of {orders} orders in {} records, {} repeated, none missing, in order per order",
        options.name,
        events.len(),
        records.len(),
        records.len() - events.len()
    );
    Ok(true)
}

/// Orders and waits until all are there; how long that took.
async fn fulfilled(daemon: &Daemon) -> Result<Duration> {
    let alice = daemon.login("alice").await?;
    let began = Instant::now();
    let mut made = Vec::new();
    for number in 0..ORDERS {
        made.push(create(&alice, "computes", &small_compute(&format!("c{number}"))).await?);
    }
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await?;
    }
    Ok(began.elapsed())
}

async fn wait_for(daemon: &Daemon, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let bus = daemon.admin().get("/v1/admin/publishers/bus").await?.success()?;
        if is_so(&bus) {
            return Ok(bus);
        }
        ensure!(Instant::now() < until, "not within two minutes: {what}: {bus}\n{}", daemon.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn command(text: &str) -> Result<()> {
    let status = Command::new("bash").args(["-c", text]).status().with_context(|| text.to_owned())?;
    ensure!(status.success(), "{text}: {status}");
    Ok(())
}

fn consume(options: &Options) -> Result<Vec<Value>> {
    let text = format!("{} {} {TOPIC}", options.consume, options.bootstrap);
    let ca = options.ca.as_ref().map(|ca| ("KAFKA_CA", ca));
    let output = Command::new("bash").args(["-c", &text]).envs(ca).output()?;
    if !output.status.success() {
        bail!("{text}: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

async fn all_events(admin: &Client) -> Result<Events> {
    let mut events = Vec::new();
    let mut path = "/v1/events?limit=1000".to_owned();
    loop {
        let page = admin.get(&path).await?.success()?;
        for event in page["items"].as_array().context("a list")? {
            events.push((text(&event["id"]), text(&event["subject"])));
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/events?limit=1000&cursor={next}"),
            None => return Ok(events),
        }
    }
}

/// Each event is there, under its order's id as the key, and of each order the first arrivals are in order. How many
/// orders.
fn compare(events: &Events, records: &[Value]) -> Result<usize> {
    let mut first: Events = Vec::new();
    let mut seen = BTreeSet::new();
    for record in records {
        let one = (text(&record["event"]["id"]), text(&record["event"]["subject"]));
        ensure!(record["key"] == one.1.as_str(), "a record's key is not its order: {record}");
        ensure!(record["headers"]["content-type"] == "application/cloudevents+json", "{record}");
        if seen.insert(one.clone()) {
            first.push(one);
        }
    }
    let known: BTreeSet<_> = events.iter().cloned().collect();
    ensure!(
        seen == known,
        "{} events are missing, {} came from nowhere",
        known.difference(&seen).count(),
        seen.difference(&known).count()
    );
    let subjects: BTreeSet<&String> = events.iter().map(|(_, subject)| subject).collect();
    for subject in &subjects {
        let of = |all: &Events| all.iter().filter(|one| one.1 == **subject).cloned().collect::<Events>();
        ensure!(of(&first) == of(events), "the events of order {subject} came in another order");
    }
    Ok(subjects.len())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

//! A store with very many orders: nine of ten closed and kept, as retention keeps them for a month, one of ten alive.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archipel_model::Owner;
use archipel_model::order::State;
use archipel_orders::store::{Change, NewEvent, OrderQuery, OrderStore, Visible};
use archipel_store::Store;
use archipel_tests::site::Site;

use super::accepts::{acceptance, open, order, per_second};
use super::{bounded, row};

/// Who fills it at once.
const WRITERS: usize = 256;
/// Clients whose accepts are measured.
const CLIENTS: usize = 64;
/// Pages that are read.
const PAGES: usize = 1000;
/// One of so many orders stays alive.
const ALIVE: u64 = 10;

/// Fills, starts, reads, writes, compacts.
pub(super) async fn measure(count: u64, seconds: u64) -> Result<()> {
    let mut site = Site::temporary()?;
    // Live orders keep their place: without its driver the cloud is away, which unreadies no site.
    std::fs::remove_file(site.plugin_dir().join("cloud-emulated.wasm"))?;
    site.config["limits"] =
        serde_json::json!({"identity": {"logins_per_second": 1000.0, "login_burst": 1000}});
    let folder = site.data_dir().join("store");
    // The site labels its own store.
    site.start().await?.stop().await?;

    let empty = super::accepts::in_a_fresh_store(CLIENTS, seconds).await?;
    fill(&folder, count).await?;

    let began = Instant::now();
    let daemon = site.start().await?;
    bounded("P4-ready", "start to ready with the large store", began.elapsed().as_secs_f64(), 10.0, "s");
    tokio::time::sleep(Duration::from_secs(10)).await;
    bounded(
        "P4-memory",
        "memory of that daemon, ten seconds later",
        resident_mib(daemon.pid())?,
        1024.0,
        "MiB",
    );
    let admin = daemon.admin();
    let mut next = Some("/v1/orders?limit=100".to_owned());
    let mut took = Vec::new();
    while let (Some(path), true) = (&next, took.len() < PAGES) {
        let began = Instant::now();
        let page = admin.get(path).await?.success()?;
        took.push(began.elapsed());
        next = page["next"].as_str().map(|cursor| format!("/v1/orders?limit=100&cursor={cursor}"));
    }
    let memory = resident_mib(daemon.pid())?;
    println!("{} pages over REST; the daemon holds {memory:.0} MiB after them", took.len());
    pages("P4-page-rest", "page of 100 over REST, p99", took);
    daemon.stop().await?;

    let (engine, store) = open(&folder).await?;
    for (id, visible) in [
        ("P4-page", Visible::Any),
        ("P4-page-own", Visible::Own(Owner { issuer: order(7).user.issuer, subject: order(7).user.subject })),
    ] {
        pages(id, "page of 100 at the store's interface, p99", read_pages(&store, visible).await?);
    }
    let large = per_second(&store.orders(), CLIENTS, seconds).await?;
    row(
        "P4-creates",
        "creates in the large store over those in an empty one",
        large,
        Some(empty),
        "1/s",
        Some(">=0.8"),
    );
    println!("{:?}", archipel_store::Engine::figures(&*engine));
    store.close().await;
    drop((engine, store));

    let record = serde_json::to_vec(&order(0))?.len() as f64;
    let per_order = |bytes: u64| bytes as f64 / count as f64;
    row(
        "P4-disk",
        "bytes on disk per order over its record as JSON",
        per_order(bytes_in(&folder)?),
        Some(record),
        "B",
        None,
    );
    let began = Instant::now();
    let compacted = site.archipel(&["store", "compact"])?;
    ensure!(compacted.code == 0, "archipel store compact: {compacted:?}");
    println!("compacted in {:.1} s", began.elapsed().as_secs_f64());
    row(
        "P4-disk-compact",
        "the same after archipel store compact",
        per_order(bytes_in(&folder)?),
        Some(record),
        "B",
        None,
    );
    Ok(())
}

async fn fill(folder: &Path, count: u64) -> Result<()> {
    let began = Instant::now();
    let (_, store) = open(folder).await?;
    let made = Arc::new(AtomicU64::new(0));
    let mut working = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (orders, made) = (store.orders(), Arc::clone(&made));
        working.spawn(async move {
            loop {
                let number = made.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                make(&orders, number).await?;
                if number % 100_000 == 0 {
                    println!("{number} orders after {:.0} s", began.elapsed().as_secs_f64());
                }
            }
        });
    }
    while let Some(writer) = working.join_next().await {
        writer.context("a writer broke")??;
    }
    store.close().await;
    println!("filled with {count} orders in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn make(orders: &Arc<dyn OrderStore>, number: u64) -> Result<()> {
    let mut order = orders.accept(acceptance(number)).await?;
    let state = if number.is_multiple_of(ALIVE) { State::Selected } else { State::Closed };
    order.state = state;
    order.version += 1;
    order.revision += 1;
    let event = NewEvent {
        kind: format!("org.archipel.order.{state}.v1"),
        data: serde_json::json!({"state": state, "version": order.version}),
    };
    orders.change(Change { order, claim: None, events: vec![event], only_without_dependants: false }).await?;
    Ok(())
}

async fn read_pages(store: &Arc<Store>, visible: Visible) -> Result<Vec<Duration>> {
    let orders = store.orders();
    let mut query = OrderQuery::of(visible, 100);
    let mut took = Vec::new();
    for _ in 0..PAGES {
        let began = Instant::now();
        let page = orders.list(&query).await?;
        took.push(began.elapsed());
        query.after = page.next;
    }
    Ok(took)
}

fn pages(id: &str, what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0.0, |one| one.as_secs_f64() * 1000.0);
    println!("{id}: median {:.2} ms of {} pages", at(50), took.len());
    bounded(id, what, at(99), 5.0, "ms");
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(kib / 1024.0)
}

/// Of files as the disk holds them.
fn bytes_in(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_in(&entry.path())?,
            false => entry.metadata()?.blocks() * 512,
        };
    }
    Ok(bytes)
}

//! What a large store costs. Needs one: make an export of a million orders, import it, and name its folder:
//! `ARCHIPEL_LARGE_STORE=DATA_DIR/store cargo test -p archipel-store --lib -- --ignored --nocapture large_store`.
//! It writes into that store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_model::{OrderId, SystemClock};
use archipel_orders::store::{OrderStore, Visible};

use super::orders::all;
use super::support::*;
use crate::engine::Engine;
use crate::{SledEngine, SledOptions, Store};

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn creates_per_second(orders: &Arc<dyn OrderStore>, clients: usize, seconds: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(seconds);
    let clients = (0..clients).map(|client| {
        let orders = Arc::clone(orders);
        tokio::spawn(async move {
            let mut made = 0;
            while Instant::now() < until {
                orders.accept(acceptance(&compute(&format!("user-{client}")))).await.unwrap();
                made += 1;
            }
            made
        })
    });
    futures::future::join_all(clients)
        .await
        .into_iter()
        .map(|made: Result<u64, _>| made.unwrap())
        .sum::<u64>()
        / seconds
}

async fn open(dir: &Path) -> (Arc<SledEngine>, Arc<Store>) {
    let engine = SledEngine::open(dir, SledOptions::default()).unwrap();
    let store =
        Store::open(Arc::clone(&engine) as Arc<dyn Engine>, &site(), Arc::new(SystemClock)).await.unwrap();
    (engine, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a large store"]
async fn a_large_store() {
    let dir = PathBuf::from(std::env::var_os("ARCHIPEL_LARGE_STORE").expect("ARCHIPEL_LARGE_STORE"));
    let empty = tempfile::tempdir_in(dir.parent().unwrap()).unwrap();
    let (_, small) = open(empty.path()).await;
    let before = creates_per_second(&small.orders(), 64, 8).await;
    small.close().await;
    println!("empty store: {before} creates/s with 64 clients; {} MiB resident", resident_mib());

    let begun = Instant::now();
    let (engine, store) = open(&dir).await;
    println!("opened in {:.2} s; {} MiB resident", begun.elapsed().as_secs_f64(), resident_mib());
    let begun = Instant::now();
    let (mut after, mut active): (Option<OrderId>, u64) = (None, 0);
    loop {
        let page = store.orders().active(&"cloud-1".parse().unwrap(), after, 1000).await.unwrap();
        active += page.items.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    println!(
        "scheduler's read of all {active} active orders: {:.1} s; {} MiB resident",
        begun.elapsed().as_secs_f64(),
        resident_mib()
    );
    for (who, visible) in [("everybody", Visible::Any), ("one owner of 1000", Visible::Own(owner("user-7")))]
    {
        let mut query = all(visible);
        let mut took = Vec::new();
        for _ in 0..1000 {
            let begun = Instant::now();
            let page = store.orders().list(&query).await.unwrap();
            took.push(begun.elapsed());
            query.after = page.next;
        }
        took.sort();
        println!("page of 100 of {who}: median {:?}, p99 {:?}", took[500], took[990]);
    }
    let after = creates_per_second(&store.orders(), 64, 8).await;
    println!(
        "large store: {after} creates/s with 64 clients ({} %); {} MiB resident; {:?}",
        after * 100 / before.max(1),
        resident_mib(),
        engine.figures()
    );
    store.close().await;
}

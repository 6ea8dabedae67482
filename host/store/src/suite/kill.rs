//! `kill -9` and fail points: what was acknowledged is there, and everything that was committed together is there
//! together. A child process writes and notes each acknowledgement in a file; the parent ends it and looks.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archipel_model::{OrderId, SystemClock};

use super::support::*;
use crate::engine::{Engine, Range};
use crate::{SledEngine, SledOptions, Store};

const DIR: &str = "ARCHIPEL_STORE_KILL_DIR";

async fn open(dir: &Path) -> (Arc<dyn Engine>, Arc<Store>) {
    let engine = SledEngine::open(&dir.join("store"), SledOptions::default()).unwrap() as Arc<dyn Engine>;
    let store = Store::open(Arc::clone(&engine), &site(), Arc::new(SystemClock)).await.unwrap();
    (engine, store)
}

/// The child; as a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    archipel_model::fail::arm();
    let (_, store) = open(&dir).await;
    let told = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("told")).unwrap();
    let told = Arc::new(Mutex::new(told));
    let parent = volume("alice");
    store.orders().accept(acceptance(&parent)).await.unwrap();
    let writers = (0..8).map(|_| {
        let (store, told, parent) = (Arc::clone(&store), Arc::clone(&told), parent.clone());
        tokio::spawn(async move {
            loop {
                let order = attachment("alice", &[&parent]);
                store.orders().accept(acceptance(&order)).await.unwrap();
                told.lock().unwrap().write_all(format!("{}\n", order.id).as_bytes()).unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut told_in_all = 0;
    for round in 0..12 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "suite::kill::child", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match round % 3 {
            0 => command.env("ARCHIPEL_FAIL_POINT", format!("commit-before-flush:{}", 5 + round)),
            1 => command.env("ARCHIPEL_FAIL_POINT", format!("commit-after-flush:{}", 5 + round)),
            _ => &mut command,
        };
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let before = read_told(dir.path()).len();
        // A third is killed at a moment that nobody chose: as soon as something new was told.
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the child neither ends nor writes");
            if round % 3 == 2 && read_told(dir.path()).len() > before + 40 * round {
                child.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        told_in_all = check(dir.path()).await;
    }
    assert!(told_in_all > 100, "{told_in_all}");
    println!("{told_in_all} acknowledged, 0 lost");
}

fn read_told(dir: &Path) -> BTreeSet<OrderId> {
    let text = std::fs::read_to_string(dir.join("told")).unwrap_or_default();
    // The last line may be cut.
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

async fn check(dir: &Path) -> usize {
    let told = read_told(dir);
    let (engine, store) = open(dir).await;
    let count = async |prefix: &[u8]| engine.range(&Range::prefix(prefix, 1_000_000)).await.unwrap().len();
    let orders = count(b"o/").await;
    for id in &told {
        assert!(store.orders().get(*id).await.unwrap().is_some(), "{id} was acknowledged and is lost");
    }
    assert!(orders >= told.len());
    assert_eq!(count(b"l/a").await, orders);
    assert_eq!(count(b"l/").await, 3 * orders, "all, owner and cloud");
    assert_eq!((count(b"e/").await, count(b"es/").await, count(b"eo/").await), (orders, orders, orders));
    assert_eq!(store.orders().usage("cloud/cloud-1").await.unwrap().instances, orders as u64);
    let counted: u64 = engine
        .range(&Range::prefix(b"cn/", 1000))
        .await
        .unwrap()
        .iter()
        .map(|(_, value)| crate::judge::count(Some(value)))
        .sum();
    assert_eq!(counted as usize, count(b"ch/").await);
    store.close().await;
    told.len()
}

//! What is special about files: they outlive the process, are held by one, may be cut, full or broken.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use archipel_model::SystemClock;
use archipel_orders::store::WriteError;

use super::support::*;
use crate::engine::{Commit, CommitError, Engine, EngineError};
use crate::{OpenError, STORE_UNAVAILABLE, SledEngine, SledOptions, Store};

fn open(dir: &Path) -> Result<Arc<SledEngine>, OpenError> {
    SledEngine::open(dir, SledOptions::default())
}

async fn store(engine: &Arc<SledEngine>) -> Arc<Store> {
    let engine = Arc::clone(engine) as Arc<dyn Engine>;
    Store::open(engine, &site(), Arc::new(SystemClock)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_the_same_after_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let first = store(&engine).await;
    let order = compute("alice");
    first.orders().accept(acceptance(&order)).await.unwrap();
    let claim = first.orders().claim(&order.cloud, "one", order.created_at, 60_000).await.unwrap().unwrap();
    let newest = *first.orders().watch_events().borrow();
    first.close().await;
    let engine = open(dir.path()).unwrap();
    let again = store(&engine).await;
    assert_eq!(again.incarnation(), first.incarnation());
    assert_eq!(again.orders().get(order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(*again.orders().watch_events().borrow(), newest);
    let next = again.orders().claim(&order.cloud, "two", order.created_at, 60_000).await.unwrap().unwrap();
    assert!(next.epoch > claim.epoch, "a restart need not wait for the old claim, and fences it");
    again.orders().accept(acceptance(&compute("alice"))).await.unwrap();
    assert!(*again.orders().watch_events().borrow() > newest, "numbers go on growing");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_store_says_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let Err(error) = open(dir.path()) else { panic!("opened twice") };
    let text = error.to_string();
    assert!(text.contains(&format!("held by process {}", std::process::id())), "{text}");
    engine.close().await;
    open(dir.path()).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_and_a_newer_layout_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    store(&engine).await;
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let other = "site-b.example.org".parse().unwrap();
    let Err(refused) = Store::open(Arc::clone(&shared), &other, Arc::new(SystemClock)).await else {
        panic!()
    };
    assert!(refused.has_code("wrong-site"));
    assert_eq!(
        refused.message,
        "the store belongs to site site-a.example.org, and the configuration says site-b.example.org; set [site] id \
         back, or give this site a data_dir of its own"
    );
    let mut commit = Commit::new();
    commit.put(b"m/schema".to_vec(), "7");
    engine.commit(commit).await.unwrap();
    let Err(refused) = Store::open(shared, &site(), Arc::new(SystemClock)).await else { panic!() };
    assert!(refused.has_code("store-newer"));
    assert!(refused.message.contains("start that version again, or export with it"), "{refused}");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_or_broken_log_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let first = store(&engine).await;
    for _ in 0..500 {
        first.orders().accept(acceptance(&compute("alice"))).await.unwrap();
    }
    first.close().await;
    let log = dir.path().join("db");
    let whole = std::fs::read(&log).unwrap();
    for part in [0, 100, whole.len() / 3, whole.len() - 4096] {
        OpenOptions::new().write(true).open(&log).unwrap().set_len(part as u64).unwrap();
        let error = open(dir.path()).map(|_| ()).expect_err("a cut log was opened");
        assert!(matches!(error, OpenError::Cut { .. } | OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("store import"), "{error}");
        std::fs::write(&log, &whole).unwrap();
    }
    open(dir.path()).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let Err(error) = open(&file) else { panic!() };
    assert!(error.to_string().contains("check that it is a folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_refuses_writes_and_serves_reads() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let first = store(&engine).await;
    let order = compute("alice");
    first.orders().accept(acceptance(&order)).await.unwrap();
    first.close().await;
    let options = SledOptions { min_free_bytes: u64::MAX, ..SledOptions::default() };
    let engine = SledEngine::open(dir.path(), options).unwrap();
    let full = engine.commit(Commit::new()).await.unwrap_err();
    let CommitError::Engine(EngineError::Unavailable(reason)) = full else { panic!("{full:?}") };
    assert!(reason.contains("MiB left") && reason.ends_with("make room"), "{reason}");
    assert!(engine.get(&crate::keys::order(order.id)).await.unwrap().is_some());
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_transient() {
    let engine = Arc::new(crate::MemoryEngine::new());
    let store =
        Store::open(Arc::clone(&engine) as Arc<dyn Engine>, &site(), Arc::new(SystemClock)).await.unwrap();
    engine.break_with(Some("its disk is gone"));
    match store.orders().accept(acceptance(&compute("alice"))).await {
        Err(WriteError::Refused(error)) => {
            assert!(error.has_code(STORE_UNAVAILABLE));
            assert_eq!(error.message, "the store cannot be used: its disk is gone");
        }
        other => panic!("{other:?}"),
    }
    assert!(store.orders().probe().await.is_err());
    engine.break_with(None);
    store.orders().probe().await.unwrap();
}

/// Readers beside a writer: nobody may see a value, tell it to a client, and see an older one afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_read_once_is_never_unread() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let write = |number: u64| {
        let engine = Arc::clone(&engine);
        async move {
            let mut commit = Commit::new();
            commit.put(b"k".to_vec(), number.to_be_bytes().to_vec());
            commit.put([b"r".as_slice(), &number.to_be_bytes()].concat(), "x");
            engine.commit(commit).await.unwrap();
        }
    };
    write(0).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let (mut newest, mut most) = (0, 0);
                while newest < 1500 {
                    let value = engine.get(b"k").await.unwrap().unwrap();
                    let value = u64::from_be_bytes(value.as_ref().try_into().unwrap());
                    assert!(value >= newest, "{value} after {newest}");
                    newest = value;
                    let seen = engine.range(&crate::engine::Range::prefix(b"r", 5000)).await.unwrap().len();
                    assert!(seen >= most && seen as u64 > newest, "{seen} after {most}, {newest}");
                    most = seen;
                }
            })
        })
        .collect();
    for number in 1..=1500 {
        write(number).await;
        let read = engine.get(b"k").await.unwrap().unwrap();
        assert_eq!(read.as_ref(), number.to_be_bytes(), "read your writes");
    }
    for reader in readers {
        reader.await.unwrap();
    }
    engine.close().await;
}

/// Needs root, for a disk of its own: `cargo test -p archipel-store -- --ignored full_disk`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a small disk, which needs root"]
async fn a_full_disk_is_an_error_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        assert!(std::process::Command::new(args[0]).args(&args[1..]).status().unwrap().success())
    };
    let path = dir.path().to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", path]);
    let options = SledOptions { min_free_bytes: 0, ..SledOptions::default() };
    let engine = SledEngine::open(&dir.path().join("store"), options).unwrap();
    let first = store(&engine).await;
    let mut made = Vec::new();
    let error = loop {
        let order = compute("alice");
        match first.orders().accept(acceptance(&order)).await {
            Ok(_) => made.push(order.id),
            Err(WriteError::Refused(error)) => break error,
            Err(error) => panic!("{error:?}"),
        }
    };
    println!("after {} orders: {error}", made.len());
    assert!(error.has_code(STORE_UNAVAILABLE), "{error:?}");
    for _ in 0..20 {
        let _ = first.orders().accept(acceptance(&compute("alice"))).await;
        let read = first.orders().get(made[0]).await;
        println!("read: {:?}", read.map(|order| order.is_some()).map_err(|error| error.message));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    mount(&["mount", "-o", "remount,size=64m", path]);
    let since = std::time::Instant::now();
    while let Err(error) = first.orders().accept(acceptance(&compute("alice"))).await {
        println!("still {error:?}");
        assert!(since.elapsed().as_secs() < 20);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    for id in &made {
        assert!(first.orders().get(*id).await.unwrap().is_some(), "acknowledged before the disk was full");
    }
    first.close().await;
    open(&dir.path().join("store")).unwrap().close().await;
    mount(&["umount", path]);
}

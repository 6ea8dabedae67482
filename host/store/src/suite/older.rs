//! Stores that an older archipel wrote: kept in `tests/fixtures/schema-N`, as sled's folder and as an export, and read by
//! every later one. A change of a record that cannot read them needs an upgrade step (`record::Record::upgrade`).
//!
//! A new fixture, when the schema grows: `cargo test -p archipel-store --lib -- --ignored writes_a_fixture`.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_model::{SystemClock, Timestamp};
use archipel_orders::store::{EventQuery, Visible};

use super::orders::all;
use super::support::*;
use super::upkeep::{exported, fill, open, records};
use crate::engine::{Commit, Engine};
use crate::upkeep::{check, import};
use crate::{SCHEMA, SledEngine, SledOptions, Store};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into the source tree"]
async fn writes_a_fixture() {
    let dir = fixtures().join(format!("schema-{SCHEMA}"));
    assert!(!dir.exists(), "{} is there already, and what it holds never changes", dir.display());
    let (engine, store) = open(&dir.join("store")).await;
    fill(&store, Timestamp::from_millis(1_800_000_000_000)).await;
    let (file, _) = exported(&*engine).await;
    store.close().await;
    std::fs::write(dir.join("export.jsonl"), file).unwrap();
    std::fs::remove_file(dir.join("store/lock")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Everything in it can be read, written on and fits together.
async fn serves(dir: &Path, events: usize) -> Vec<u8> {
    let engine = SledEngine::open_existing(dir, SledOptions::default()).unwrap();
    let store =
        Store::open(Arc::clone(&engine) as Arc<dyn Engine>, &site(), Arc::new(SystemClock)).await.unwrap();
    let stamp = engine.snapshot(&[]).await.unwrap().stamp();
    let found = check(&*engine, Some(&site()), Some(stamp)).await.unwrap();
    assert_eq!(found.wrong, 0, "{found:#?}");
    let (file, _) = exported(&*engine).await;
    let page = store.orders().list(&all(Visible::Any)).await.unwrap();
    assert_eq!(page.items.len(), 8);
    let all_events = EventQuery { visible: Visible::Any, subject: None, after: None, limit: 1000 };
    assert_eq!(store.orders().events(&all_events).await.unwrap().items.len(), events);
    for mut order in page.items {
        let state = order.state;
        store.orders().change(next(&mut order, state)).await.unwrap();
    }
    let found = check(&*engine, Some(&site()), Some(stamp + 1000)).await.unwrap();
    assert_eq!(found.wrong, 0, "{found:#?}");
    store.close().await;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn every_older_store_is_read_and_written_on() {
    let mut seen = 0;
    for schema in 1..=SCHEMA {
        let fixture = fixtures().join(format!("schema-{schema}"));
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture.join("store"), &folder.path().join("store"));
        // Schema 1 had no usage, so nothing in it was ever fulfilled.
        let events = if schema == 1 { 20 } else { 24 };
        let file = serves(&folder.path().join("store"), events).await;
        let committed = std::fs::read(fixture.join("export.jsonl")).unwrap();
        assert_eq!(records(&file), records(&committed), "the same store in two forms");
        let imported = folder.path().join("imported");
        import(&mut Cursor::new(&committed), &imported, &site(), &SledOptions::default()).await.unwrap();
        let again = serves(&imported, events).await;
        assert_eq!(records(&again), records(&committed));
        seen += 1;
    }
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    copy(&fixtures().join(format!("schema-{SCHEMA}/store")), &dir);
    // As a newer archipel would leave it.
    let engine = SledEngine::open_existing(&dir, SledOptions::default()).unwrap();
    let mut commit = Commit::new();
    commit.put(crate::keys::SCHEMA.to_vec(), (SCHEMA + 1).to_string());
    engine.commit(commit).await.unwrap();
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let Err(refused) = Store::open(shared, &site(), Arc::new(SystemClock)).await else {
        panic!("a newer store was opened")
    };
    assert_eq!(
        refused.message,
        format!(
            "the store was written by a newer archipel (schema {}, this one knows {SCHEMA}); start that version again, \
             or export with it (archipel store export) and import here",
            SCHEMA + 1
        )
    );
    engine.close().await;
}

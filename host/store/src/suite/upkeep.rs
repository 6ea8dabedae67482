//! Check, export, import, compaction: over a store in which something lies in every collection.

mod exports;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipel_identity::store::Session;
use archipel_model::audit::AuditRecord;
use archipel_model::order::{Kind, RemoteOrder, State};
use archipel_model::{Clock, OrderId, SessionId, SystemClock, Timestamp};
use archipel_orders::store::{IdempotencyRecord, IdempotencyScope, StoredAnswer};
use serde_json::{Value, json};

use super::audit::{at_addresses, record};
use super::support::*;
use crate::engine::{Commit, Engine, Range};
use crate::upkeep::{Export, Exported, ImportError, check, compact, disk_bytes, import, survey};
use crate::{SledEngine, SledOptions, Store};

/// Something in every collection; says a few of the orders.
pub(super) async fn fill(store: &Store, now: Timestamp) -> Vec<OrderId> {
    let orders = store.orders();
    let mut ids = Vec::new();
    for of in ["alice", "bob", "ümit"] {
        let mut machine = compute(of);
        machine.group = Some("physics".into());
        let disk = volume(of);
        let mut joined = attachment(of, &[&machine, &disk]);
        for order in [&machine, &disk, &joined] {
            let mut acceptance = acceptance(order);
            acceptance.limits = vec![instances("user/limited", 100)];
            orders.accept(acceptance).await.unwrap();
            ids.push(order.id);
        }
        let mut gone = order(of, Kind::Network, json!({}), &[]);
        gone.origin =
            Some(RemoteOrder { site: "site-b.example.org".parse().unwrap(), order: OrderId::generate() });
        orders.accept(acceptance(&gone)).await.unwrap();
        orders.change(next(&mut gone, State::Closing)).await.unwrap();
        gone.updated_at = now;
        orders.change(next(&mut gone, State::Closed)).await.unwrap();
        if of == "bob" {
            orders.change(next(&mut joined, State::Closing)).await.unwrap();
            orders.change(next(&mut joined, State::Closed)).await.unwrap();
        }
        ids.push(gone.id);
    }
    let scope = |key: &str| IdempotencyScope { owner: owner("alice"), path: "/v1/x".into(), key: key.into() };
    for (key, length) in [("short", 10), ("long", 140_000)] {
        let answer = StoredAnswer { status: 201, headers: vec![], body: "ä".repeat(length) };
        let record = IdempotencyRecord {
            request_hash: "h".into(),
            created_at: now,
            order_ids: vec![],
            answer: Some(answer),
        };
        orders.put_idempotency(&scope(key), &record).await.unwrap();
    }
    let cloud = "cloud-1".parse().unwrap();
    orders.claim(&cloud, "one", now, 1000).await.unwrap().unwrap();
    orders.claim(&cloud, "two", now.plus(Duration::from_secs(5)), 1000).await.unwrap().unwrap();
    let mut session = Session {
        id: SessionId::generate(),
        binding: "local".into(),
        sealed_token: vec![1, 2, 3],
        parent: None,
        user: user("alice"),
        created_at: now,
        expires_at: now.plus(Duration::from_secs(3600)),
        revoked_at: None,
    };
    store.sessions().put(&session).await.unwrap();
    (session.parent, session.id) = (Some(session.id), SessionId::generate());
    store.sessions().put(&session).await.unwrap();
    store.sessions().revoke(session.id, now).await.unwrap();
    store.sessions().revoke_token([9; 32], now).await.unwrap();
    store.sessions().revoke_token([9; 32], now.plus(Duration::from_secs(9))).await.unwrap();
    let plugins = store.plugin_storage();
    for (binding, key, value) in
        [("cloud/a", "k", vec![0, 255, 10]), ("cloud/a", "l/ö", vec![]), ("cloud/ab", "k", vec![7; 1000])]
    {
        plugins.set(binding, key, Some(value), 10_000).await.unwrap();
    }
    plugins.flush().await.unwrap();
    store.positions().set_position("kafka", 77).await.unwrap();
    fill_ledger(store, &ids, now).await;
    orders.probe().await.unwrap();
    ids
}

/// Something in every collection of usage, audit and addresses, of orders that are there.
async fn fill_ledger(store: &Store, ids: &[OrderId], now: Timestamp) {
    let orders = store.orders();
    let [machine, disk] = [orders.get(ids[0]).await.unwrap(), orders.get(ids[5]).await.unwrap()];
    let (mut machine, mut disk) = (machine.unwrap(), disk.unwrap());
    for addresses in [["192.0.2.7", "192.0.2.8"], ["192.0.2.7", "2001:db8::1"]] {
        machine.instance = at_addresses(&addresses);
        orders.change(next(&mut machine, State::Fulfilled)).await.unwrap();
    }
    for state in [State::Fulfilled, State::Closing] {
        orders.change(next(&mut disk, state)).await.unwrap();
    }
    let long_ago = now.minus(Duration::from_secs(1_000_000));
    store.audit().append(&[record(long_ago, "alice", "revoke-token")]).await.unwrap();
    store.audit().forget_before(now.minus(Duration::from_secs(500_000)), 10).await.unwrap();
    let of_order = AuditRecord { order: Some(machine.id), ..record(now, "bob", "delete-compute") };
    store.audit().append(&[of_order]).await.unwrap();
}

pub(super) async fn exported(engine: &dyn Engine) -> (Vec<u8>, Exported) {
    let mut export = Export::begin(engine, &SystemClock, false).await.unwrap();
    let mut file = Vec::new();
    while let Some(lines) = export.next().await.unwrap() {
        file.extend_from_slice(&lines);
    }
    (file, export.exported())
}

/// All lines but the first and the last, which name times and incarnations.
pub(super) fn records(file: &[u8]) -> Vec<&str> {
    let lines: Vec<&str> = std::str::from_utf8(file).unwrap().lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

fn line(file: &[u8], number: usize) -> Value {
    let lines: Vec<&str> = std::str::from_utf8(file).unwrap().lines().collect();
    serde_json::from_str(lines[if number == usize::MAX { lines.len() - 1 } else { number }]).unwrap()
}

pub(super) async fn open(dir: &Path) -> (Arc<SledEngine>, Arc<Store>) {
    let engine = SledEngine::open(dir, SledOptions::default()).unwrap();
    let store =
        Store::open(Arc::clone(&engine) as Arc<dyn Engine>, &site(), Arc::new(SystemClock)).await.unwrap();
    (engine, store)
}

async fn import_into(dir: &Path, file: &[u8]) -> Result<crate::upkeep::Imported, ImportError> {
    import(&mut Cursor::new(file), dir, &site(), &SledOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_used_has_something_in_every_collection_and_nothing_wrong() {
    on_every_engine(async |f| {
        fill(&f.store, f.clock.now()).await;
        let found = survey(&*f.engine).await.unwrap();
        assert_eq!(found.collections.len(), 42, "{found:#?}");
        assert_eq!(found.unknown_keys, 0, "every key has its collection in the catalogue");
        let orders = found.collections.iter().find(|collection| collection.name == "orders").unwrap();
        assert_eq!((orders.keys, orders.versions.get(&3)), (12, Some(&12)));
        assert_eq!(found.site.as_deref(), Some("site-a.example.org"));
        let stamp = f.engine.snapshot(&[]).await.unwrap().stamp();
        let checked = check(&*f.engine, Some(&site()), Some(stamp)).await.unwrap();
        assert_eq!((checked.wrong, checked.leftovers), (0, 1), "{checked:#?}");
        assert_eq!(checked.keys, found.collections.iter().map(|collection| collection.keys).sum::<u64>());
        // Retention leaves nothing behind either.
        let later = f.clock.now().plus(Duration::from_secs(10_000_000));
        f.clock.turn(Duration::from_secs(10_000_000));
        f.store.orders().forget_before(later, later, later, 1000).await.unwrap();
        f.store.sessions().forget_before(later, 1000).await.unwrap();
        let checked = check(&*f.engine, Some(&site()), Some(stamp + 10_000)).await.unwrap();
        assert_eq!((checked.wrong, checked.leftovers), (0, 0), "{checked:#?}");
        assert_eq!(
            survey(&*f.engine).await.unwrap().events_forgotten,
            *f.store.orders().watch_events().borrow()
        );
    })
    .await;
}

/// What to write under the first key of a collection (none: it is removed), and what must be said of which check.
type Case = (&'static [u8], Option<&'static [u8]>, &'static str, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_found_and_named() {
    on_every_engine(async |f| {
        let engine = &*f.engine;
        let ids = fill(&f.store, f.clock.now()).await;
        let stamp = engine.snapshot(&[]).await.unwrap().stamp() + 1000;
        let first = async |prefix: &[u8]| engine.range(&Range::prefix(prefix, 1)).await.unwrap().remove(0);
        let id = ids[0].to_string();
        let cases: Vec<Case> = vec![
            (b"o/", None, "index: open orders", "leads to a record that is not there"),
            (b"o/", Some(b"\x01{}"), "orders", "a stored order cannot be read: missing field"),
            (b"o/", Some(b"\x07{}"), "orders", "has version 7, this archipel knows 3"),
            (b"o/", Some(b""), "orders", "is empty"),
            (b"l/", None, "index: open orders", "it is missing: orders"),
            (b"x/", None, "index: closed orders", "it is missing: orders"),
            (b"xt/", None, "index: closed orders by time", "it is missing"),
            (b"ch/", None, "index: children", "it is missing"),
            (b"cn/", None, "sums: children", "it says 0, what it sums up is 1"),
            (b"cn/", Some(&[0, 0, 0, 0, 0, 0, 0, 9]), "sums: children", "it says 9, what it sums up is 1"),
            (b"or/", Some(&[7; 16]), "index: orders by origin", "it leads elsewhere than to orders"),
            (
                b"u/i/cloud/",
                Some(&[0, 0, 0, 0, 0, 0, 0, 9]),
                "sums: usage",
                "it says 9, what it sums up is 8",
            ),
            (b"u/", None, "sums: usage", "what it sums up is"),
            (b"e/", None, "index: events by order", "leads to a record that is not there"),
            (b"es/", None, "index: events by order", "it is missing: events"),
            (b"eg/", None, "index: events by group", "it is missing: events"),
            (b"i/", Some(b"\x01["), "idempotency keys", "cannot be read"),
            (b"ip/", None, "idempotency parts", "it is missing: idempotency keys"),
            (b"it/", None, "index: idempotency keys by time", "it is missing"),
            (b"s/", None, "index: sessions by owner", "leads to a record that is not there"),
            (b"se/", None, "index: sessions by end", "it is missing: sessions"),
            (b"t/", Some(b"x"), "revoked tokens", "it is not a number"),
            (b"p/", Some(b"12345678"), "sums: plugin storage", "it says 8, what it sums up is 13"),
            (b"pb/", None, "sums: plugin storage", "it says 0, what it sums up is 8"),
            (b"ce/", None, "claims", "it is held and has no epoch"),
            (b"cl/", Some(b"\x01x"), "claims", "cannot be read"),
            (b"ad/", None, "audit", "it does not follow the record before it"),
            (b"ad/", Some(b"x"), "audit", "it is cut short"),
            (b"ac/head", None, "audit", "the note of the newest record is older"),
            (b"ac/anchor", None, "audit", "it does not follow the record before it"),
            (b"ao/", None, "index: audit by order", "it is missing: audit"),
            (b"at/", None, "index: audit by time", "it is missing: audit"),
            (b"au/", None, "index: audit by user", "it is missing: audit"),
            (b"aa/", None, "index: audit by address", "it is missing: audit"),
            (b"ha/", Some(b"\x01{}"), "address history", "cannot be read"),
            (b"he/", None, "index: address history by end", "it is missing: address history"),
            (b"ua/", None, "index: usage accounts by owner", "leads to a record that is not there"),
            (b"ue/", None, "index: usage accounts by end", "it is missing: usage accounts"),
            (b"uo/", None, "index: usage accounts by owner", "it is missing: usage accounts"),
            (b"uh/", Some(b"\x01["), "usage steps", "cannot be read"),
            (b"ui/", None, "sums: usage of lines", "sum"),
            (b"ul/", Some(b"\x01{}"), "usage lines", "cannot be read"),
            (b"um/", None, "sums: usage of lines", "it is not what"),
            (b"um/", Some(&[1; 128]), "sums: usage of lines", "it is not what"),
            (b"m/site", Some(b"site-b.example.org"), "label", "belongs to site-b.example.org"),
            (b"m/incarnation", None, "label", "not there"),
            (b"m/schema", Some(b"7"), "label", "it is 7, this archipel knows 2"),
            (
                b"m/events-forgotten",
                Some(&[0, 0, 0, 0, 255, 0, 0, 0]),
                "label",
                "a number that was not given yet",
            ),
        ];
        for (prefix, value, collection, what) in cases {
            let (key, held) = first(prefix).await;
            let mut commit = Commit::new();
            match value {
                Some(value) => commit.put(key.clone(), value.to_vec()),
                None => commit.delete(key.clone()),
            };
            engine.commit(commit).await.unwrap();
            let found = check(engine, Some(&site()), Some(stamp)).await.unwrap();
            let is_told =
                found.problems.iter().any(|one| one.collection == collection && one.what.contains(what));
            let case = String::from_utf8_lossy(prefix).into_owned();
            assert!(is_told && found.wrong > 0, "{case} {value:?}: {found:#?}");
            let mut mend = Commit::new();
            mend.put(key, held);
            engine.commit(mend).await.unwrap();
        }
        // What should not be there.
        let [order, elsewhere] = [ids[0], OrderId::generate()];
        let extra: [(Vec<u8>, &str); 6] = [
            (crate::keys::with_id(b"l/a", elsewhere), "index: open orders"),
            (crate::keys::with_id(b"x/a", order), "index: closed orders"),
            (crate::keys::with_id(&crate::keys::children(order), elsewhere), "index: children"),
            (crate::keys::usage(b'i', "nobody"), "sums: usage"),
            (b"pb/nobody".to_vec(), "sums: plugin storage"),
            (b"new/1".to_vec(), "unknown"),
        ];
        for (key, collection) in extra {
            let mut commit = Commit::new();
            commit.put(key.clone(), vec![0, 0, 0, 0, 0, 0, 0, 1]);
            engine.commit(commit).await.unwrap();
            let found = check(engine, None, None).await.unwrap();
            assert!(
                found.problems.iter().any(|one| one.collection == collection),
                "{collection}: {found:#?}"
            );
            let mut mend = Commit::new();
            mend.delete(key);
            engine.commit(mend).await.unwrap();
        }
        let found = check(engine, Some(&site()), Some(3)).await.unwrap();
        assert!(found.problems.iter().any(|one| one.what.contains("was not given yet")), "{found:#?}");
        let found = check(engine, Some(&site()), Some(stamp)).await.unwrap();
        assert_eq!(found.wrong, 0, "all is mended: {found:#?}");
        // A record under another's key.
        let (_, raw) = first(b"o/").await;
        let mut commit = Commit::new();
        commit.put(crate::keys::order(ids[1]), raw);
        engine.commit(commit).await.unwrap();
        let found = check(engine, None, None).await.unwrap();
        assert!(
            found.problems.iter().any(|one| one.what == "it lies under the key of another"),
            "{found:#?} {id}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_ends_an_import_and_a_compaction_before_they_meet_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let (engine, store) = open(&dir).await;
    fill(&store, SystemClock.now()).await;
    let (file, _) = exported(&*engine).await;
    store.close().await;
    let full = SledOptions { min_free_bytes: u64::MAX, ..SledOptions::default() };
    let new = folder.path().join("new");
    let error = import(&mut Cursor::new(&file), &new, &site(), &full).await.unwrap_err().to_string();
    assert!(error.contains("MiB left and needs") && error.contains("make room"), "{error}");
    let error = compact(&dir, &full).await.unwrap_err().to_string();
    assert!(error.contains("make room"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["store"]);
    let (engine, store) = open(&dir).await;
    assert_eq!(records(&exported(&*engine).await.0), records(&file));
    store.close().await;
}

/// An export beside writers must be a store in which everything fits together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_export_beside_writers_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, store) = open(&folder.path().join("old")).await;
    fill(&store, SystemClock.now()).await;
    let parent = volume("alice");
    store.orders().accept(acceptance(&parent)).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, is_over, parent) = (Arc::clone(&store), Arc::clone(&is_over), parent.clone());
            tokio::spawn(async move {
                let orders = store.orders();
                let mut made = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let mut order = attachment("alice", &[&parent]);
                    order.group = Some(format!("group-{writer}"));
                    orders.accept(acceptance(&order)).await.unwrap();
                    made += 1;
                    if made % 2 == 0 {
                        orders.change(next(&mut order, State::Closing)).await.unwrap();
                        orders.change(next(&mut order, State::Closed)).await.unwrap();
                    }
                    let (key, value) = (format!("k{}", made % 7), vec![1; made % 50]);
                    store.plugin_storage().set("cloud/a", &key, Some(value), 100_000).await.unwrap();
                }
                made
            })
        })
        .collect();
    let mut last = 0;
    for round in 0..5 {
        let wanted = (round + 1) * 100;
        while store.figures().commits < wanted {
            tokio::task::yield_now().await;
        }
        let (file, told) = exported(&*engine).await;
        assert!(told.stamp > last);
        last = told.stamp;
        // The import makes a check of its own, and refuses what does not fit together.
        let dir = folder.path().join(format!("copy-{round}"));
        import_into(&dir, &file).await.unwrap();
        let (copy, opened) = open(&dir).await;
        let (again, _) = exported(&*copy).await;
        assert_eq!(records(&again), records(&file));
        opened.close().await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut made = 0;
    for writer in writers {
        made += writer.await.unwrap();
    }
    assert!(made > 100, "{made}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_everything_and_gives_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let (engine, store) = open(&dir).await;
    let mut order = compute("alice");
    store.orders().accept(acceptance(&order)).await.unwrap();
    for _ in 0..3000 {
        store.orders().change(next(&mut order, State::Open)).await.unwrap();
    }
    fill(&store, SystemClock.now()).await;
    let later = SystemClock.now().plus(Duration::from_secs(1));
    store.orders().forget_before(later, later, later, 100_000).await.unwrap();
    let (before, told) = exported(&*engine).await;
    let newest = *store.orders().watch_events().borrow();
    let incarnation = store.incarnation();
    store.close().await;
    let bytes = disk_bytes(&dir).unwrap();
    let done = compact(&dir, &SledOptions::default()).await.unwrap();
    assert_eq!(done.bytes_before, bytes);
    assert!(done.bytes_after * 2 < bytes, "{done:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside");
    let (engine, store) = open(&dir).await;
    let (after, again) = exported(&*engine).await;
    assert_eq!(records(&after), records(&before));
    assert_eq!((again.stamp >= told.stamp, store.incarnation()), (true, incarnation));
    assert!(store.orders().is_confirmed().await.unwrap());
    store.orders().accept(acceptance(&compute("alice"))).await.unwrap();
    assert!(*store.orders().watch_events().borrow() > newest);
    store.close().await;
}

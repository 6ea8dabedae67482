//! Snapshots: one moment, whatever is written meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::support::*;
use crate::engine::{Commit, Engine, EngineError, Entries, Range, Snapshot};
use crate::{SledEngine, SledOptions};

async fn whole(snapshot: &mut dyn Snapshot, page: usize) -> Result<Entries, EngineError> {
    let mut all = Entries::new();
    loop {
        let some = snapshot.next(page).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

fn key(prefix: &str, number: u64) -> Vec<u8> {
    [prefix.as_bytes(), &number.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_shows_what_was_there_when_it_began() {
    on_every_engine(async |f| {
        let engine = &*f.engine;
        let mut commit = Commit::new();
        for number in 0..30 {
            commit.put(key("za/", number), "old").put(key("zb/", number), "old");
        }
        let committed = engine.commit(commit).await.unwrap();
        let mut snapshot = engine.snapshot(&[b"zb/", b"za/"]).await.unwrap();
        assert_eq!(snapshot.stamp(), committed.stamp);
        let first = snapshot.next(10).await.unwrap();
        assert_eq!(first.len(), 10);
        // Behind the reader, within and before the next page, at its edge, between the ranges, in the last one, after it.
        let mut commit = Commit::new();
        commit.put(key("za/", 1), "new").delete(key("za/", 2)).put(key("za/", 12), "new");
        commit
            .delete(key("za/", 13))
            .delete(key("za/", 19))
            .delete(key("za/", 20))
            .put(key("za/", 99), "new");
        commit
            .put(b"zaz".to_vec(), "new")
            .delete(key("zb/", 0))
            .delete(key("zb/", 29))
            .put(key("zb/", 30), "new");
        engine.commit(commit).await.unwrap();
        let mut commit = Commit::new();
        commit.put(key("za/", 12), "newer").put(key("zb/", 0), "newer");
        engine.commit(commit).await.unwrap();
        let mut all = first;
        all.extend(whole(&mut *snapshot, 7).await.unwrap());
        let keys = (0..30).map(|n| key("za/", n)).chain((0..30).map(|n| key("zb/", n)));
        let expected: Entries = keys.map(|key| (key, Bytes::from_static(b"old"))).collect();
        assert_eq!(all, expected);
        assert!(engine.snapshot(&[]).await.unwrap().next(10).await.unwrap().is_empty());
        assert!(engine.snapshot(&[b"zz/"]).await.unwrap().next(10).await.unwrap().is_empty());
    })
    .await;
}

/// Many writers keep two copies of every number equal in each commit; every snapshot must find them equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn snapshots_beside_writers_are_never_torn() {
    on_every_engine(async |f| {
        let is_over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let (engine, is_over) = (Arc::clone(&f.engine), Arc::clone(&is_over));
                tokio::spawn(async move {
                    let mut number = 0_u64;
                    while !is_over.load(Ordering::Relaxed) {
                        number += 1;
                        // A key of both ends is written or removed together.
                        let at = (number.wrapping_mul(0x9e37_79b9) + writer) % 200;
                        let value = format!("{writer} {number}");
                        let mut commit = Commit { buffered: number.is_multiple_of(3), ..Commit::new() };
                        match number % 4 {
                            0 => commit.delete(key("za/", at)).delete(key("zy/", at)),
                            _ => commit.put(key("za/", at), value.clone()).put(key("zy/", at), value),
                        };
                        engine.commit(commit).await.unwrap();
                        tokio::time::sleep(std::time::Duration::from_micros(50)).await;
                    }
                })
            })
            .collect();
        let mut seen = 0;
        for round in 0..60 {
            let before = f.engine.figures().commits;
            while f.engine.figures().commits < before + 20 {
                tokio::time::sleep(std::time::Duration::from_micros(50)).await;
            }
            let mut snapshot = f.engine.snapshot(&[b"za/", b"zy/"]).await.unwrap();
            let all = whole(&mut *snapshot, 1 + round % 50).await.unwrap();
            let half = |prefix: &[u8]| -> BTreeMap<Vec<u8>, Bytes> {
                let of = all.iter().filter(|(key, _)| key.starts_with(prefix));
                of.map(|(key, value)| (key[3..].to_vec(), value.clone())).collect()
            };
            assert_eq!(half(b"za/"), half(b"zy/"), "round {round}");
            seen += half(b"za/").len();
        }
        assert!(seen > 1000, "{seen}");
        is_over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_read_too_slowly_is_lost_and_writers_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let options = SledOptions { snapshot_bytes: 100_000, ..SledOptions::default() };
    let engine = SledEngine::open(dir.path(), options).unwrap();
    let write = async |value: &str| {
        let mut commit = Commit::new();
        for number in 0..50 {
            commit.put(key("k/", number), value.repeat(1000));
        }
        engine.commit(commit).await.unwrap();
    };
    write("a").await;
    let mut lost = engine.snapshot(&[b"k/"]).await.unwrap();
    let mut other = engine.snapshot(&[b"l/"]).await.unwrap();
    write("b").await;
    write("c").await;
    let mut kept = engine.snapshot(&[b"k/"]).await.unwrap();
    write("d").await;
    assert_eq!(kept.next(100).await.unwrap()[49].1[0], b'c');
    write("e").await;
    write("f").await;
    match lost.next(10).await {
        Ok(page) => assert!(page.iter().all(|(_, value)| value[0] == b'a')),
        Err(error) => panic!("50 values of 1000 bytes are within the bound: {error}"),
    }
    let mut lost = engine.snapshot(&[b""]).await.unwrap();
    for number in 0..3000 {
        let mut commit = Commit { buffered: true, ..Commit::new() };
        commit.put(key("n/", number), "x");
        engine.commit(commit).await.unwrap();
    }
    let error = lost.next(10).await.unwrap_err().to_string();
    assert!(error.contains("too much was written while a snapshot was read"), "{error}");
    assert!(other.next(10).await.unwrap().is_empty());
    engine.close().await;
    assert!(engine.snapshot(&[b"k/"]).await.is_err());
    let range = Range::prefix(b"k/", 1);
    assert!(engine.range(&range).await.is_err());
}

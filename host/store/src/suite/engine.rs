//! What every engine must do. Run against each of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Head;
use crate::engine::{
    Commit, CommitError, Engine, EngineError, MAX_BYTES, MAX_OPERATIONS, Precondition, Range, Write,
};
use crate::judge::{count, terms};

fn key(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn put(entries: &[(&str, &str)]) -> Commit {
    let mut commit = Commit::new();
    for (name, value) in entries {
        commit.put(key(name), value.as_bytes().to_vec());
    }
    commit
}

async fn read(engine: &dyn Engine, name: &str) -> Option<String> {
    engine.get(name.as_bytes()).await.unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

async fn names(engine: &dyn Engine, range: &Range) -> Vec<String> {
    engine.range(range).await.unwrap().into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
}

/// All of it.
pub(super) async fn engine_suite(engine: Arc<dyn Engine>) {
    what_was_written_is_read(&*engine).await;
    ranges_go_both_ways_and_page(&*engine).await;
    a_commit_is_made_whole_or_not_at_all(&*engine).await;
    counters_keep_their_bounds(&*engine).await;
    appends_are_numbered_in_commit_order(&*engine).await;
    sums_add_up_term_by_term(&*engine).await;
    a_chain_grows_in_commit_order(Arc::clone(&engine)).await;
    limits_are_named(&*engine).await;
    buffered_writes_are_seen_at_once(&*engine).await;
    of_many_who_want_one_key_one_gets_it(Arc::clone(&engine)).await;
    many_who_add_never_exceed_the_bound(engine).await;
}

async fn what_was_written_is_read(engine: &dyn Engine) {
    engine.commit(put(&[("w/a", "1"), ("w/b", "2"), ("w/empty", "")])).await.unwrap();
    assert_eq!(read(engine, "w/a").await.as_deref(), Some("1"));
    assert_eq!(read(engine, "w/empty").await.as_deref(), Some(""));
    assert_eq!(read(engine, "w/none").await, None);
    engine.commit(put(&[("w/a", "3")])).await.unwrap();
    assert_eq!(read(engine, "w/a").await.as_deref(), Some("3"));
    let mut commit = Commit::new();
    commit.delete(key("w/a")).delete(key("w/never"));
    engine.commit(commit).await.unwrap();
    let many = engine.get_many(&[key("w/b"), key("w/a"), key("w/empty")]).await.unwrap();
    assert_eq!(many, [Some(Bytes::from("2")), None, Some(Bytes::new())]);
}

async fn ranges_go_both_ways_and_page(engine: &dyn Engine) {
    engine.commit(put(&[("r/a", ""), ("r/b", ""), ("r/c", ""), ("r/d", ""), ("s/a", "")])).await.unwrap();
    assert_eq!(names(engine, &Range::prefix(b"r/", 9)).await, ["r/a", "r/b", "r/c", "r/d"]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 2)).await, ["r/a", "r/b"]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 2).after(b"r/b")).await, ["r/c", "r/d"]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 2).reversed()).await, ["r/d", "r/c"]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 9).before(key("r/c"))).await, ["r/a", "r/b"]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 9).after(b"r/d")).await, [""; 0]);
    assert_eq!(names(engine, &Range::prefix(b"r/", 9).after(b"z")).await, [""; 0]);
}

async fn a_commit_is_made_whole_or_not_at_all(engine: &dyn Engine) {
    let mut commit = put(&[("p/a", "1")]);
    commit.absent(key("p/a"));
    engine.commit(commit.clone()).await.unwrap();
    let mut second = put(&[("p/b", "2")]);
    second.is(key("p/a"), Some(Bytes::from("1"))).is(key("p/a"), Some(Bytes::from("other")));
    assert_eq!(engine.commit(second).await, Err(CommitError::Conflict(1)));
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict(0)));
    assert_eq!(read(engine, "p/b").await, None);
    let mut third = put(&[("p/b", "2")]);
    third.is(key("p/a"), Some(Bytes::from("1"))).is(key("p/b"), None);
    engine.commit(third).await.unwrap();
    assert_eq!(read(engine, "p/b").await.as_deref(), Some("2"));
}

async fn counters_keep_their_bounds(engine: &dyn Engine) {
    let add = |delta, max| {
        let mut commit = Commit::new();
        commit.put(key("c/beside"), "x").add(key("c/n"), delta, max);
        commit
    };
    let held = async || count(engine.get(b"c/n").await.unwrap().as_ref());
    engine.commit(add(3, Some(5))).await.unwrap();
    assert_eq!(engine.commit(add(3, Some(5))).await, Err(CommitError::Bound { write: 1, held: 3 }));
    engine.commit(add(2, Some(5))).await.unwrap();
    assert_eq!(held().await, 5);
    engine.commit(add(4, None)).await.unwrap();
    engine.commit(add(-1, Some(5))).await.unwrap();
    assert_eq!(held().await, 8, "a bound never hinders giving back");
    engine.commit(add(-100, None)).await.unwrap();
    assert_eq!(engine.get(b"c/n").await.unwrap(), None, "nothing is no key");
    let mut twice = Commit::new();
    twice.add(key("c/n"), 1, Some(2)).add(key("c/n"), 1, Some(2)).add(key("c/n"), 1, Some(2));
    assert_eq!(engine.commit(twice).await, Err(CommitError::Bound { write: 2, held: 2 }));
}

async fn appends_are_numbered_in_commit_order(engine: &dyn Engine) {
    let mut watch = engine.watch(b"log/").await.unwrap();
    let first = *watch.borrow_and_update();
    let mut commit = Commit::new();
    commit.append(key("log/"), 0, "a").append(key("log/"), 1, "b").append(key("index/"), 1, "");
    let one = engine.commit(commit).await.unwrap();
    let mut commit = Commit::new();
    commit.append(key("log/"), 0, "c");
    let two = engine.commit(commit).await.unwrap();
    assert!(first < one.sequence(0) && one.sequence(1) < two.sequence(0));
    let log = engine.range(&Range::prefix(b"log/", 9)).await.unwrap();
    let values: Vec<&[u8]> = log.iter().map(|(_, value)| value.as_ref()).collect();
    assert_eq!(values, [b"a", b"b", b"c"]);
    let index = engine.range(&Range::prefix(b"index/", 9)).await.unwrap();
    assert_eq!(crate::judge::sequence_of(&index[0].0), Some(one.sequence(1)));
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), two.sequence(0));
}

async fn sums_add_up_term_by_term(engine: &dyn Engine) {
    let sum = |terms: &[i128]| {
        let mut commit = Commit::new();
        commit.sum(key("n/s"), terms);
        commit
    };
    let held = async || terms(engine.get(b"n/s").await.unwrap().as_ref());
    engine.commit(sum(&[1, -2])).await.unwrap();
    assert_eq!(held().await, [1, -2]);
    engine.commit(sum(&[10, 20, i128::from(u64::MAX) * 1000])).await.unwrap();
    assert_eq!(held().await, [11, 18, i128::from(u64::MAX) * 1000]);
    let mut twice = sum(&[-1, 0]);
    twice.sum(key("n/s"), &[-10, -18, i128::from(u64::MAX) * -1000]);
    engine.commit(twice).await.unwrap();
    assert_eq!(engine.get(b"n/s").await.unwrap(), None, "nothing is no key");
}

async fn a_chain_grows_in_commit_order(engine: Arc<dyn Engine>) {
    let writers = (0..16_u8).map(|writer| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            for _ in 0..4 {
                let mut commit = Commit::new();
                commit.chain(key("chain/"), key("head"), 0, vec![writer]);
                commit.chain(key("chain/"), key("head"), 1, vec![writer, 1]);
                engine.commit(commit).await.unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let entries = engine.range(&Range::prefix(b"chain/", 1000)).await.unwrap();
    let mut place = Head::START;
    for (name, entry) in &entries {
        assert_eq!(
            crate::chain::split(entry).unwrap().0,
            place.hash,
            "each holds the hash of the one before"
        );
        place = place.after(crate::judge::sequence_of(name).unwrap(), entry);
    }
    assert_eq!((entries.len(), place.count), (128, 128));
    assert_eq!(Head::read(engine.get(b"head").await.unwrap().as_ref()), place);
}

async fn limits_are_named(engine: &dyn Engine) {
    let name = |result: Result<_, CommitError>| match result {
        Err(CommitError::Engine(EngineError::TooLarge { name, .. })) => name,
        other => panic!("{other:?}"),
    };
    let mut many = Commit::new();
    many.preconditions = vec![Precondition::Absent(key("x")); MAX_OPERATIONS];
    engine.commit(many.clone()).await.unwrap();
    many.writes.push(Write::Delete(key("x")));
    assert_eq!(name(engine.commit(many).await), "MAX_OPERATIONS");
    let mut big = Commit::new();
    big.put(key("x"), vec![0; MAX_BYTES]);
    assert_eq!(name(engine.commit(big).await), "MAX_BYTES");
    let mut long = Commit::new();
    long.put(vec![b'x'; 20_000], "");
    assert_eq!(name(engine.commit(long).await), "MAX_KEY_BYTES");
    let mut largest = Commit::new();
    largest.put(key("x/big"), vec![7; MAX_BYTES - 5]);
    engine.commit(largest).await.unwrap();
    assert_eq!(engine.get(b"x/big").await.unwrap().unwrap().len(), MAX_BYTES - 5);
}

async fn buffered_writes_are_seen_at_once(engine: &dyn Engine) {
    for number in 0..50_u32 {
        let mut commit = Commit { buffered: true, ..Commit::new() };
        commit.put(key("b/x"), number.to_be_bytes().to_vec());
        engine.commit(commit).await.unwrap();
        assert_eq!(engine.get(b"b/x").await.unwrap().unwrap().as_ref(), number.to_be_bytes());
    }
    engine.flush().await.unwrap();
}

async fn of_many_who_want_one_key_one_gets_it(engine: Arc<dyn Engine>) {
    let tries = (0..64).map(|number| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let mut commit = put(&[("one", &number.to_string())]);
            commit.absent(key("one"));
            engine.commit(commit).await.is_ok()
        })
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 1);
}

async fn many_who_add_never_exceed_the_bound(engine: Arc<dyn Engine>) {
    let tries = (0..64).map(|_| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let mut commit = Commit::new();
            commit.add(key("slots"), 1, Some(10));
            engine.commit(commit).await.is_ok()
        })
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 10);
    assert_eq!(count(engine.get(b"slots").await.unwrap().as_ref()), 10);
}

mod engines {
    use super::*;
    use crate::{MemoryEngine, SledEngine, SledOptions};

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_does_what_every_engine_must() {
        engine_suite(Arc::new(MemoryEngine::new())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sled_does_what_every_engine_must() {
        let dir = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(dir.path(), SledOptions::default()).unwrap();
        engine_suite(Arc::clone(&engine) as Arc<dyn Engine>).await;
        engine.close().await;
        assert!(matches!(engine.get(b"w/b").await, Err(EngineError::Unavailable(_))));
        let again = SledEngine::open(dir.path(), SledOptions::default()).unwrap();
        assert_eq!(read(&*again, "w/b").await.as_deref(), Some("2"));
        assert_eq!(again.get(b"x/big").await.unwrap().unwrap().len(), MAX_BYTES - 5);
        again.close().await;
    }
}

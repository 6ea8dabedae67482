//! The audit: a chain that shows every tampering that a chain can show, found by whom, what and when; and who had an
//! address.

use std::time::Duration;

use archipel_model::audit::{
    AuditDoor, AuditEntry, AuditLink, AuditLog, AuditQuery, AuditRecord, AuditUser, Decider, Outcome,
};
use archipel_model::order::{Allocation, Instance, Order, State, Status};
use archipel_model::{Clock, OrderId, Timestamp};

use super::support::*;
use crate::engine::{Commit, Range};
use crate::keys;
use crate::upkeep::check;

pub(super) fn record(at: Timestamp, user: &str, operation: &str) -> AuditRecord {
    AuditRecord {
        at,
        request: "r-1".into(),
        door: AuditDoor::Public,
        address: Some("192.0.2.7".into()),
        who: Some(AuditUser {
            owner: owner(user),
            name: user.into(),
            group: None,
            home_site: None,
            session: None,
        }),
        operation: operation.into(),
        kind: None,
        order: None,
        cloud: None,
        on: None,
        outcome: Outcome::Allowed,
        status: None,
        reason: None,
        decided_by: vec![Decider { plugin: "p".into(), digest: "d".into(), policy: "c".into() }],
        count: 1,
        addresses: vec![],
    }
}

async fn append(f: &Fixture, count: usize) {
    for number in 0..count {
        let user = ["alice", "bob"][number % 2];
        f.store.audit().append(&[record(f.clock.now(), user, "delete-compute")]).await.unwrap();
        f.clock.turn(Duration::from_secs(1));
    }
}

async fn page(f: &Fixture, query: AuditQuery) -> Vec<AuditEntry> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query =
            AuditQuery { after, limit: if query.limit == 0 { 3 } else { query.limit }, ..query.clone() };
        let page = f.store.audit().page(&query).await.unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The whole walk, in pieces.
async fn walk(audit: &dyn AuditLog, piece: usize) -> Result<u64, (u64, String)> {
    let (mut after, mut records) = (None, 0);
    loop {
        let walk = audit.walk(after, piece).await.unwrap();
        records += walk.records;
        if let Some(broken) = walk.broken {
            return Err((broken.sequence, broken.what));
        }
        if walk.is_ended {
            return Ok(records);
        }
        after = Some(walk.upto);
    }
}

async fn entries(f: &Fixture) -> Vec<(Vec<u8>, bytes::Bytes)> {
    f.engine.range(&Range::prefix(keys::AUDIT, 1000)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_by_who_what_when_and_from_where() {
    on_every_engine(async |f| {
        let begun = f.clock.now();
        append(&f, 10).await;
        let order = OrderId::generate();
        let special = AuditRecord {
            order: Some(order),
            outcome: Outcome::Denied,
            address: Some("2001:db8::1".into()),
            addresses: vec!["198.51.100.4".into()],
            ..record(f.clock.now(), "alice", "get-order")
        };
        f.store.audit().append(std::slice::from_ref(&special)).await.unwrap();
        assert_eq!(page(&f, AuditQuery::default()).await.len(), 11);
        let alice = AuditQuery {
            issuer: Some(owner("alice").issuer),
            subject: Some("alice".into()),
            ..AuditQuery::default()
        };
        assert_eq!(page(&f, alice.clone()).await.len(), 6);
        let between = AuditQuery {
            from: Some(begun.plus(Duration::from_secs(2))),
            to: Some(begun.plus(Duration::from_secs(7))),
            ..AuditQuery::default()
        };
        assert_eq!(page(&f, between.clone()).await.len(), 5);
        let both = AuditQuery { from: between.from, to: between.to, ..alice };
        assert_eq!(page(&f, both).await.len(), 3);
        for query in [
            AuditQuery { order: Some(order), ..AuditQuery::default() },
            AuditQuery { operation: Some("get-order".into()), ..AuditQuery::default() },
            AuditQuery { outcome: Some(Outcome::Denied), ..AuditQuery::default() },
            AuditQuery { address: Some("2001:db8::1".into()), ..AuditQuery::default() },
            AuditQuery { address: Some("198.51.100.4".into()), ..AuditQuery::default() },
        ] {
            let found = page(&f, query.clone()).await;
            assert_eq!(found.len(), 1, "{query:?}");
            assert_eq!(found[0].record, special);
        }
        let none = AuditQuery { operation: Some("none".into()), ..AuditQuery::default() };
        assert!(page(&f, none).await.is_empty());
        let all = page(&f, AuditQuery::default()).await;
        assert!(
            all.windows(2).all(|pair| pair[1].before == pair[0].hash),
            "each holds the hash of the one before"
        );
        let head = f.store.audit().head().await.unwrap();
        let last = all.last().unwrap();
        assert_eq!((head.sequence, &head.hash, head.count), (last.sequence, &last.hash, 11));
        let found = check(&*f.engine, Some(&site()), None).await.unwrap();
        assert_eq!(found.wrong, 0, "{found:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_and_its_record_are_one_commit() {
    on_every_engine(async |f| {
        let order = compute("alice");
        let mut acceptance = acceptance(&order);
        acceptance.audit = Some(record(f.clock.now(), "alice", "create-compute"));
        let before = f.store.figures().commits;
        f.store.orders().accept(acceptance.clone()).await.unwrap();
        assert_eq!(f.store.figures().commits, before + 1);
        let found = page(&f, AuditQuery { order: Some(order.id), ..AuditQuery::default() }).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].record.kind.as_deref(), Some("compute"));
        assert_eq!(found[0].record.cloud.as_deref(), Some("cloud-1"));
        // Asked again, it is there already: no second record.
        f.store.orders().accept(acceptance).await.unwrap();
        assert_eq!(page(&f, AuditQuery::default()).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tampering_that_a_chain_can_show_is_found() {
    on_every_engine(async |f| {
        append(&f, 9).await;
        let good = entries(&f).await;
        let head = f.engine.get(keys::AUDIT_HEAD).await.unwrap().unwrap();
        assert_eq!(walk(&*f.store.audit(), 4).await, Ok(9));
        let sequence = |at: usize| crate::judge::sequence_of(&good[at].0).unwrap();
        let altered = |at: usize| {
            let text = String::from_utf8_lossy(&good[at].1[32..]).replace("delete-compute", "create-compute");
            [&good[at].1[..32], text.as_bytes()].concat()
        };
        type Tamper<'a> = Box<dyn Fn(&mut Commit) + 'a>;
        let cases: Vec<(&str, u64, Tamper<'_>)> = vec![
            (
                "a changed record",
                sequence(5),
                Box::new(|commit| {
                    commit.put(good[4].0.clone(), altered(4));
                }),
            ),
            (
                "the newest record changed",
                sequence(8),
                Box::new(|commit| {
                    commit.put(good[8].0.clone(), altered(8));
                }),
            ),
            (
                "a record removed",
                sequence(5),
                Box::new(|commit| {
                    commit.delete(good[4].0.clone());
                }),
            ),
            (
                "the first removed",
                sequence(1),
                Box::new(|commit| {
                    commit.delete(good[0].0.clone());
                }),
            ),
            (
                "two exchanged",
                sequence(3),
                Box::new(|commit| {
                    commit
                        .put(good[3].0.clone(), good[4].1.clone())
                        .put(good[4].0.clone(), good[3].1.clone());
                }),
            ),
            (
                "one put in between",
                sequence(4) + 1,
                Box::new(|commit| {
                    let key = [keys::AUDIT, &(sequence(4) + 1).to_be_bytes()].concat();
                    commit.put(key, good[4].1.clone());
                }),
            ),
            (
                "the newest ones removed",
                sequence(5),
                Box::new(|commit| {
                    for (key, _) in &good[6..] {
                        commit.delete(key.clone());
                    }
                }),
            ),
            (
                "all removed",
                0,
                Box::new(|commit| {
                    for (key, _) in &good {
                        commit.delete(key.clone());
                    }
                }),
            ),
            (
                "cut short",
                sequence(2),
                Box::new(|commit| {
                    commit.put(good[2].0.clone(), good[2].1.slice(..20));
                }),
            ),
        ];
        for (what, broken, tamper) in cases {
            let mut commit = Commit::new();
            tamper(&mut commit);
            f.engine.commit(commit).await.unwrap();
            for piece in [2, 100] {
                let found = walk(&*f.store.audit(), piece).await.unwrap_err();
                assert_eq!(found.0, broken, "{what}: {}", found.1);
            }
            let found = check(&*f.engine, Some(&site()), None).await.unwrap();
            let told = found.problems.iter().any(|problem| problem.collection == "audit");
            assert!(told, "{what}: {found:#?}");
            let mut mend = Commit::new();
            mend.delete([keys::AUDIT, &(sequence(4) + 1).to_be_bytes()].concat());
            for (key, entry) in &good {
                mend.put(key.clone(), entry.clone());
            }
            f.engine.commit(mend).await.unwrap();
            assert_eq!(walk(&*f.store.audit(), 100).await, Ok(9), "{what}, mended");
        }
        // Cut and the head put back: consistent in itself, and shown by a head that was noted elsewhere.
        let noted = f.store.audit().head().await.unwrap();
        append(&f, 1).await;
        let mut commit = Commit::new();
        commit.put(keys::AUDIT_HEAD.to_vec(), head).delete(entries(&f).await.last().unwrap().0.clone());
        let newest = f.store.audit().head().await.unwrap();
        f.engine.commit(commit).await.unwrap();
        assert_eq!(walk(&*f.store.audit(), 100).await, Ok(9));
        let holds = async |link: &AuditLink| f.store.audit().holds(link.sequence, &link.hash).await.unwrap();
        assert_eq!(holds(&noted).await, Some(true));
        assert_eq!(holds(&newest).await, Some(false));
        assert_eq!(holds(&AuditLink { hash: newest.hash.clone(), ..noted }).await, Some(false));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_removed_leaves_a_chain_that_is_verified_from_its_anchor() {
    on_every_engine(async |f| {
        append(&f, 40).await;
        let all = entries(&f).await;
        let noted = f.store.audit().head().await.unwrap();
        let before = f.clock.now().minus(Duration::from_secs(10));
        assert_eq!(f.store.audit().forget_before(before, 1000).await.unwrap(), 30);
        assert_eq!(f.store.audit().forget_before(before, 1000).await.unwrap(), 0);
        let left = walk(&*f.store.audit(), 4).await.unwrap();
        let removals = AuditQuery { operation: Some("forget-audit".into()), ..AuditQuery::default() };
        let removals = page(&f, removals).await;
        assert_eq!(left, 10 + removals.len() as u64, "each removal is a record itself");
        assert_eq!(removals.iter().map(|entry| entry.record.count).sum::<u64>(), 30);
        assert_eq!(f.store.audit().holds(noted.sequence, &noted.hash).await.unwrap(), Some(true));
        let first = crate::judge::sequence_of(&all[0].0).unwrap();
        assert_eq!(f.store.audit().holds(first, "00").await.unwrap(), None, "it is gone");
        let found = check(&*f.engine, Some(&site()), None).await.unwrap();
        assert_eq!(found.wrong, 0, "{found:#?}");
        // Records at the beginning taken away with a made-up anchor.
        let anchor = f.engine.get(keys::AUDIT_ANCHOR).await.unwrap().unwrap();
        let mut forged = anchor.to_vec();
        let entries = entries(&f).await;
        let place = crate::chain::Head::read(Some(&anchor.slice(..48)));
        let place = place.after(crate::judge::sequence_of(&entries[0].0).unwrap(), &entries[0].1);
        forged[..48].copy_from_slice(&place.bytes());
        let mut commit = Commit::new();
        commit.put(keys::AUDIT_ANCHOR.to_vec(), forged).delete(entries[0].0.clone());
        f.engine.commit(commit).await.unwrap();
        let found = walk(&*f.store.audit(), 100).await.unwrap_err();
        assert!(found.1.contains("records at the beginning are missing"), "{found:?}");
    })
    .await;
}

pub(super) fn at_addresses(addresses: &[&str]) -> Option<Instance> {
    Some(Instance {
        id: "i-1".into(),
        status: Status::Ready,
        cloud_state: "ACTIVE".into(),
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        allocation: Allocation::default(),
        observed_at: None,
        driver_state: String::new(),
    })
}

async fn who_had(f: &Fixture, address: &str, at: Timestamp) -> Vec<OrderId> {
    let found = f.store.audit().address(address.parse().unwrap(), at).await.unwrap();
    found.into_iter().map(|used| used.order).collect()
}

async fn with_addresses(f: &Fixture, order: &mut Order, addresses: &[&str], state: State) {
    order.instance = at_addresses(addresses);
    f.store.orders().change(next(order, state)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_had_an_address_is_known_when_the_order_is_long_forgotten() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let minute = Duration::from_secs(60);
        let mut first = compute("alice");
        first.user.home_site = Some("site-b.example.org".parse().unwrap());
        orders.accept(acceptance(&first)).await.unwrap();
        let asked = f.clock.now();
        first.requested_at = Some(asked);
        orders.change(next(&mut first, State::Selected)).await.unwrap();
        f.clock.turn(minute);
        with_addresses(&f, &mut first, &["192.0.2.7", "2001:db8::7", "no address"], State::Fulfilled).await;
        let seen = f.clock.now();
        f.clock.turn(minute);
        // It gets another address and keeps one.
        with_addresses(&f, &mut first, &["192.0.2.8", "2001:db8::7"], State::Fulfilled).await;
        let changed = f.clock.now();
        f.clock.turn(minute);
        orders.change(next(&mut first, State::Closing)).await.unwrap();
        f.clock.turn(minute);
        let closing = f.clock.now();
        orders.change(next(&mut first, State::Closed)).await.unwrap();
        let closed = f.clock.now();
        f.clock.turn(minute);
        let mut second = compute("bob");
        orders.accept(acceptance(&second)).await.unwrap();
        second.requested_at = Some(f.clock.now());
        with_addresses(&f, &mut second, &["192.0.2.7"], State::Fulfilled).await;
        f.clock.turn(minute);
        let now = f.clock.now();
        let later = now.plus(Duration::from_secs(86_400));
        orders.forget_before(later, later, later, 1000).await.unwrap();
        assert!(orders.get(first.id).await.unwrap().is_none(), "forgotten");

        assert!(who_had(&f, "192.0.2.7", asked.minus(minute)).await.is_empty());
        for at in [asked, asked.plus(Duration::from_secs(30)), seen, changed.minus(Duration::from_millis(1))]
        {
            assert_eq!(who_had(&f, "192.0.2.7", at).await, [first.id], "{at}");
        }
        assert!(who_had(&f, "192.0.2.7", changed).await.is_empty());
        assert_eq!(who_had(&f, "192.0.2.8", changed).await, [first.id]);
        assert!(who_had(&f, "192.0.2.8", seen).await.is_empty(), "it came later");
        assert_eq!(
            who_had(&f, "2001:db8::7", closing.minus(Duration::from_millis(1))).await,
            [first.id],
            "closing is not gone"
        );
        assert!(who_had(&f, "2001:db8::7", closed).await.is_empty());
        assert_eq!(who_had(&f, "192.0.2.7", now).await, [second.id]);
        assert_eq!(who_had(&f, "::ffff:192.0.2.7", now).await, [second.id], "the same address");
        let told = f.store.audit().address("192.0.2.7".parse().unwrap(), seen).await.unwrap();
        assert_eq!(
            (told[0].owner.clone(), told[0].home_site.as_str()),
            (owner("alice"), "site-b.example.org")
        );
        assert_eq!((told[0].from, told[0].seen, told[0].until), (asked, seen, Some(changed)));
        let found = check(&*f.engine, Some(&site()), None).await.unwrap();
        assert_eq!(found.wrong, 0, "{found:#?}");
        // Retention takes what has ended, and nothing that goes on.
        assert_eq!(f.store.audit().forget_before(later, 1000).await.unwrap(), 3);
        assert!(who_had(&f, "192.0.2.7", seen).await.is_empty());
        assert_eq!(who_had(&f, "192.0.2.7", now).await, [second.id]);
        let found = check(&*f.engine, Some(&site()), None).await.unwrap();
        assert_eq!(found.wrong, 0, "{found:#?}");
    })
    .await;
}

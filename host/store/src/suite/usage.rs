//! What orders used: exact in every range of time, whatever the clock does, after a restart, and when orders are gone.

use std::time::Duration;

use archipel_model::order::{Allocation, Fault, Instance, Order, RemoteOrder, State, Status};
use archipel_model::{Clock, ErrorKind, OrderId, Timestamp};
use archipel_orders::store::Visible;
use archipel_orders::usage::{Class, LineUsage, Seconds, UsageQuery};
use serde_json::json;

use super::support::*;
use crate::upkeep::check;
use crate::{Engine as _, SledEngine, SledOptions, Store};

const DAY: u64 = 86_400;

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn all(from: Timestamp, to: Timestamp) -> UsageQuery {
    UsageQuery { visible: Visible::Any, group: None, cloud: None, kind: None, from, to }
}

fn given(vcpu: u32, ram_mib: u64) -> Option<Instance> {
    Some(Instance {
        id: "i-1".into(),
        status: Status::Ready,
        cloud_state: "ACTIVE".into(),
        addresses: vec![],
        allocation: Allocation { vcpu: Some(vcpu), ram_mib: Some(ram_mib), disk_gib: Some(20) },
        observed_at: None,
        driver_state: String::new(),
    })
}

/// A compute that is fulfilled now.
async fn running(f: &Fixture, of: &str) -> Order {
    let mut order = compute(of);
    f.store.orders().accept(acceptance(&order)).await.unwrap();
    order.instance = given(2, 512);
    f.store.orders().change(next(&mut order, State::Fulfilled)).await.unwrap();
    order
}

async fn go(f: &Fixture, order: &mut Order, state: State) {
    f.store.orders().change(next(order, state)).await.unwrap();
}

fn sum(lines: &[LineUsage], class: Class) -> Seconds {
    let of_class = lines.iter().filter(|usage| usage.line.class == class);
    let (before, after) = of_class.fold(Default::default(), |(before, after): (_, _), usage| {
        (usage.before.and(before), usage.after.and(after))
    });
    after.since(before)
}

async fn used(f: &Fixture, class: Class, from: Timestamp, to: Timestamp) -> Seconds {
    sum(&f.store.usage().lines(&all(from, to)).await.unwrap(), class)
}

/// The same by orders, which must come to the same.
async fn used_by_orders(f: &Fixture, class: Class, from: Timestamp, to: Timestamp) -> Seconds {
    let page = f.store.usage().orders(&all(from, to), None, 1000).await.unwrap();
    assert_eq!(page.next, None);
    let each = page.items.iter().flat_map(|usage| &usage.classes).filter(|(of, ..)| *of == class);
    let (before, after) =
        each.fold(Default::default(), |(before, after): (_, _), (_, b, a)| (b.and(before), a.and(after)));
    after.since(before)
}

async fn fits_together(f: &Fixture) {
    let found = check(&*f.engine, Some(&site()), None).await.unwrap();
    assert_eq!(found.wrong, 0, "{found:#?}");
}

const START: Timestamp = Timestamp::from_millis(0);

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_counted_until_now_and_each_class_for_itself() {
    on_every_engine(async |f| {
        let begun = f.clock.now();
        let mut order = running(&f, "alice").await;
        f.clock.turn(seconds(100));
        let running = used(&f, Class::Running, START, f.clock.now()).await;
        assert_eq!(
            running,
            Seconds { instance_s: 100, vcpu_s: 200, ram_mib_s: 51_200, disk_gib_s: 2000 },
            "it goes on until now"
        );
        for (state, class) in [
            (State::Stopped, Class::Stopped),
            (State::Paused, Class::Paused),
            (State::Hibernated, Class::Hibernated),
        ] {
            go(&f, &mut order, state).await;
            f.clock.turn(seconds(10));
            assert_eq!(used(&f, class, START, f.clock.now()).await.instance_s, 10, "{class:?}");
        }
        go(&f, &mut order, State::Resuming).await;
        f.clock.turn(seconds(5));
        let now = f.clock.now();
        assert_eq!(used(&f, Class::Hibernated, START, now).await.instance_s, 15, "until it is done");
        go(&f, &mut order, State::Fulfilled).await;
        f.clock.turn(seconds(7));
        go(&f, &mut order, State::Closing).await;
        f.clock.turn(seconds(1000));
        go(&f, &mut order, State::Closed).await;
        let now = f.clock.now();
        assert_eq!(used(&f, Class::Running, START, now).await.instance_s, 107, "closing is the end");
        for class in Class::ALL {
            assert_eq!(
                used(&f, class, START, now).await,
                used_by_orders(&f, class, START, now).await,
                "{class:?}"
            );
        }
        let lines = f.store.usage().lines(&all(begun, now)).await.unwrap();
        assert!(lines.iter().all(|usage| usage.line.owner == owner("alice")), "{lines:?}");
        fits_together(&f).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_fulfilled_is_not_metered_and_what_vanished_no_longer() {
    on_every_engine(async |f| {
        let mut never = compute("alice");
        f.store.orders().accept(acceptance(&never)).await.unwrap();
        for state in [State::Selected, State::Spawning, State::FailedAfterRequest] {
            f.clock.turn(seconds(50));
            go(&f, &mut never, state).await;
        }
        f.clock.turn(seconds(50));
        assert!(f.store.usage().lines(&all(START, f.clock.now())).await.unwrap().is_empty());

        let mut broken = running(&f, "alice").await;
        go(&f, &mut broken, State::FailedAfterRequest).await;
        f.clock.turn(seconds(30));
        let now = f.clock.now();
        assert_eq!(used(&f, Class::Failed, START, now).await.instance_s, 30, "the cloud may still hold it");
        broken.fault = Some(Fault {
            kind: ErrorKind::Permanent,
            code: Some("instance-gone".into()),
            message: "gone".into(),
            at: now,
            order: None,
        });
        go(&f, &mut broken, State::FailedAfterRequest).await;
        f.clock.turn(seconds(1000));
        assert_eq!(used(&f, Class::Failed, START, f.clock.now()).await.instance_s, 30);
        broken.fault = None;
        go(&f, &mut broken, State::Fulfilled).await;
        f.clock.turn(seconds(4));
        let now = f.clock.now();
        assert_eq!(used(&f, Class::Running, START, now).await.instance_s, 4, "healthy again");
        assert_eq!(used_by_orders(&f, Class::Running, START, now).await.instance_s, 4);
        fits_together(&f).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_allocation_counts_from_the_commit_that_learned_it() {
    on_every_engine(async |f| {
        let mut order = compute("alice");
        f.store.orders().accept(acceptance(&order)).await.unwrap();
        // The cloud does not say yet: what was asked for counts (2 vcpu, 512 MiB).
        go(&f, &mut order, State::Fulfilled).await;
        f.clock.turn(seconds(10));
        order.instance = given(4, 1024);
        go(&f, &mut order, State::Fulfilled).await;
        f.clock.turn(seconds(10));
        let now = f.clock.now();
        let running = used(&f, Class::Running, START, now).await;
        assert_eq!((running.instance_s, running.vcpu_s, running.ram_mib_s), (20, 60, 15_360));
        assert_eq!(used_by_orders(&f, Class::Running, START, now).await, running);
        fits_together(&f).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_turned_back_makes_nothing_negative_and_loses_nothing_later() {
    on_every_engine(async |f| {
        let mut order = running(&f, "alice").await;
        let begun = f.clock.now();
        f.clock.set(begun.minus(seconds(3 * DAY)));
        let early = f.clock.now();
        assert_eq!(used(&f, Class::Running, START, early).await, Seconds::default());
        // Stopped before it began: an interval of no length.
        go(&f, &mut order, State::Stopped).await;
        assert_eq!(used(&f, Class::Running, START, begun.plus(seconds(DAY))).await, Seconds::default());
        f.clock.set(begun.plus(seconds(60)));
        go(&f, &mut order, State::Fulfilled).await;
        f.clock.turn(seconds(40));
        let now = f.clock.now();
        assert_eq!(used(&f, Class::Stopped, START, now).await.instance_s, 60);
        assert_eq!(used(&f, Class::Running, START, now).await.instance_s, 40);
        for class in [Class::Stopped, Class::Running] {
            assert_eq!(used_by_orders(&f, class, START, now).await, used(&f, class, START, now).await);
        }
        fits_together(&f).await;
    })
    .await;
}

/// Against what is counted second by second, in ranges that begin and end anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn every_range_is_exact_however_it_lies() {
    on_every_engine(async |f| {
        let begun = f.clock.now();
        // Half an hour to some weeks between two changes: all levels of sums take part.
        let waits = [1_801, 40, 86_400, 3_600, 1_209_600, 7, 4_300, 2_000_000, 90_000, 12_345];
        let mut truth: Vec<(Timestamp, u64)> = Vec::new();
        let mut orders: Vec<Order> = Vec::new();
        for (round, wait) in waits.iter().cycle().take(60).enumerate() {
            match (round % 3, orders.pop()) {
                (2, Some(mut order)) => go(&f, &mut order, State::Closing).await,
                (_, popped) => {
                    orders.extend(popped);
                    orders.push(running(&f, ["alice", "bob"][round % 2]).await);
                }
            }
            truth.push((f.clock.now(), orders.len() as u64));
            f.clock.turn(seconds(*wait));
        }
        let now = f.clock.now();
        let counted = |from: Timestamp, to: Timestamp| {
            let ends = truth.iter().skip(1).map(|(at, _)| *at).chain([now]);
            truth
                .iter()
                .zip(ends)
                .map(|((at, running), end)| end.min(to).since(*at.max(&from)).as_secs() * running)
                .sum()
        };
        let span = now.since(begun).as_secs();
        let mut seen = 0;
        for part in 0..40 {
            let from = begun.plus(seconds(span * (part * 7 % 40) / 41));
            let to = from.plus(seconds(span / (1 + part * part % 23)));
            let to = to.min(now);
            let expected: u64 = counted(from, to);
            assert_eq!(used(&f, Class::Running, from, to).await.instance_s, expected, "{from} to {to}");
            assert_eq!(used_by_orders(&f, Class::Running, from, to).await.instance_s, expected);
            seen += expected;
        }
        assert!(seen > 0);
        fits_together(&f).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_apart_by_owner_group_cloud_and_site() {
    on_every_engine(async |f| {
        let mut far = compute("alice");
        far.group = Some("physics".into());
        far.origin =
            Some(RemoteOrder { site: "site-b.example.org".parse().unwrap(), order: OrderId::generate() });
        let mut west = compute("bob");
        west.cloud = "west".parse().unwrap();
        for order in [&mut far, &mut west] {
            f.store.orders().accept(acceptance(order)).await.unwrap();
            order.instance = given(1, 1);
            f.store.orders().change(next(order, State::Fulfilled)).await.unwrap();
        }
        running(&f, "bob").await;
        f.clock.turn(seconds(10));
        let now = f.clock.now();
        let lines = async |query: UsageQuery| f.store.usage().lines(&query).await.unwrap();
        assert_eq!(lines(all(START, now)).await.len(), 3);
        let own = lines(UsageQuery { visible: Visible::Own(owner("alice")), ..all(START, now) }).await;
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].line.requesting_site.as_str(), "site-b.example.org");
        assert_eq!(own[0].line.site, site());
        let group = Visible::Group(owner("bob"), "physics".into());
        assert_eq!(lines(UsageQuery { visible: group, ..all(START, now) }).await.len(), 3);
        let west = UsageQuery { cloud: Some("west".parse().unwrap()), ..all(START, now) };
        assert_eq!(lines(west.clone()).await.len(), 1);
        assert_eq!(f.store.usage().orders(&west, None, 10).await.unwrap().items.len(), 1);
        let of_group = UsageQuery { group: Some("physics".into()), ..all(START, now) };
        assert_eq!(lines(of_group).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_come_in_pages_and_their_accounts_are_forgotten_while_lines_stay() {
    on_every_engine(async |f| {
        let mut orders = Vec::new();
        for _ in 0..7 {
            orders.push(running(&f, "alice").await);
        }
        f.clock.turn(seconds(10));
        for order in orders.iter_mut().take(5) {
            go(&f, order, State::Closing).await;
        }
        let (mut after, mut seen) = (None, Vec::new());
        for visible in [Visible::Any, Visible::Own(owner("alice"))] {
            loop {
                let query = UsageQuery { visible: visible.clone(), ..all(START, f.clock.now()) };
                let page = f.store.usage().orders(&query, after, 2).await.unwrap();
                seen.extend(page.items.iter().map(|usage| usage.account.order));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, orders.iter().map(|order| order.id).collect::<Vec<_>>(), "each once, in order");
            seen.clear();
        }
        f.clock.turn(seconds(100));
        let before = f.clock.now().minus(seconds(50));
        assert_eq!(f.store.usage().forget_before(before, 3).await.unwrap(), 3);
        assert_eq!(f.store.usage().forget_before(before, 100).await.unwrap(), 2);
        assert_eq!(f.store.usage().forget_before(before, 100).await.unwrap(), 0);
        let now = f.clock.now();
        let left = f.store.usage().orders(&all(START, now), None, 10).await.unwrap();
        assert_eq!(left.items.len(), 2);
        let running = used(&f, Class::Running, START, now).await.instance_s;
        assert_eq!(running, 5 * 10 + 2 * 110, "what was used is not forgotten");
        fits_together(&f).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_lose_nothing() {
    on_every_engine(async |f| {
        let tasks = (0..32).map(|_| {
            let f = std::sync::Arc::clone(&f);
            tokio::spawn(async move {
                let mut order = running(&f, "alice").await;
                for state in [State::Stopped, State::Fulfilled, State::Paused, State::Fulfilled] {
                    go(&f, &mut order, state).await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        f.clock.turn(seconds(60));
        assert_eq!(used(&f, Class::Running, START, f.clock.now()).await.vcpu_s, 32 * 2 * 60);
        fits_together(&f).await;
    })
    .await;
}

/// A store of an archipel that did not meter: what runs is metered from the first opening on.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_an_older_store_is_metered_from_its_upgrade_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(TestClock::at(1_800_000_000_000));
    let engine = SledEngine::open(folder.path(), SledOptions::default()).unwrap();
    let mut order = compute("alice");
    (order.state, order.instance) = (State::Fulfilled, given(2, 512));
    let old = json!({"order": order, "counted": {"counters": [], "amounts": {"instances": 0, "vcpu": 0, "ram_mib": 0, "disk_gib": 0}}});
    let mut commit = crate::engine::Commit::new();
    commit
        .put(crate::keys::order(order.id), [&[1], old.to_string().as_bytes()].concat())
        .put(crate::keys::with_id(&crate::keys::Scope::all().live(), order.id), "")
        .put(crate::keys::SCHEMA.to_vec(), "1")
        .put(crate::keys::SITE.to_vec(), site().to_string())
        .put(crate::keys::INCARNATION.to_vec(), uuid::Uuid::now_v7().to_string());
    engine.commit(commit).await.unwrap();
    for _ in 0..2 {
        let store = Store::open(engine.clone(), &site(), clock.clone()).await.unwrap();
        let read = store.orders().get(order.id).await.unwrap().unwrap();
        assert_eq!(read, order);
        clock.turn(seconds(30));
    }
    assert_eq!(engine.get(crate::keys::SCHEMA).await.unwrap().unwrap(), crate::SCHEMA.to_string());
    let store = Store::open(engine.clone(), &site(), clock.clone()).await.unwrap();
    let lines = store.usage().lines(&all(START, clock.now())).await.unwrap();
    assert_eq!(sum(&lines, Class::Running).vcpu_s, 2 * 60, "once, from the first opening");
    engine.close().await;
}

//! Orders: accept, change, list, claims, limits, retention.

use std::time::Duration;

use archipel_model::order::{Allocation, Instance, Kind, RemoteOrder, State, Status};
use archipel_model::plugin::Usage;
use archipel_model::{CloudName, OrderId, Timestamp};
use archipel_orders::store::{Change, Epoch, OrderQuery, Visible, WriteError};

use super::support::*;

fn refusal(error: WriteError) -> archipel_model::Error {
    match error {
        WriteError::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The first hundred orders that are not closed.
pub(super) fn all(visible: Visible) -> OrderQuery {
    OrderQuery::of(visible, 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_is_read_back_whole() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let order = compute("alice");
        assert_eq!(orders.accept(acceptance(&order)).await.unwrap(), order);
        assert_eq!(orders.get(order.id).await.unwrap().unwrap(), order);
        assert_eq!(orders.get(OrderId::generate()).await.unwrap(), None);
        assert_eq!(orders.accept(acceptance(&order)).await.unwrap(), order, "the same again is no error");
        let mut other = order.clone();
        other.name = "other".into();
        assert!(refusal(orders.accept(acceptance(&other)).await.unwrap_err()).has_code("id-taken"));
        assert_eq!(orders.usage("user/https:%2F%2Fidp.example.org/alice").await.unwrap().instances, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_revision_before_it() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let mut order = compute("alice");
        orders.accept(acceptance(&order)).await.unwrap();
        let change = next(&mut order, State::Selected);
        orders.change(change.clone()).await.unwrap();
        assert!(matches!(orders.change(change).await, Err(WriteError::Stale)));
        let unknown = next(&mut compute("alice"), State::Selected);
        assert_eq!(
            refusal(orders.change(unknown).await.unwrap_err()).kind,
            archipel_model::ErrorKind::NotFound
        );
        let mut moved = order.clone();
        moved.user.subject = "mallory".into();
        assert!(orders.change(next(&mut moved, State::Spawning)).await.is_err());
        assert_eq!(orders.get(order.id).await.unwrap().unwrap(), order);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_fences_its_holder() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let cloud: CloudName = "cloud-1".parse().unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let first = orders.claim(&cloud, "one", now, 1000).await.unwrap().unwrap();
        assert_eq!(first.epoch, Epoch(1));
        assert_eq!(orders.claim(&cloud, "two", now, 1000).await.unwrap(), None);
        let renewed =
            orders.claim(&cloud, "one", now.plus(Duration::from_millis(900)), 1000).await.unwrap().unwrap();
        assert_eq!((renewed.epoch, renewed.until), (Epoch(1), now.plus(Duration::from_millis(1900))));
        let mut order = compute("alice");
        orders.accept(acceptance(&order)).await.unwrap();
        let under = |change: Change, epoch| Change { claim: Some((cloud.clone(), epoch)), ..change };
        orders.change(under(next(&mut order, State::Selected), first.epoch)).await.unwrap();
        let second =
            orders.claim(&cloud, "two", now.plus(Duration::from_secs(2)), 1000).await.unwrap().unwrap();
        assert_eq!(second.epoch, Epoch(2));
        let late = under(next(&mut order.clone(), State::Spawning), first.epoch);
        assert!(matches!(orders.change(late).await, Err(WriteError::Fenced)));
        orders.change(under(next(&mut order, State::Spawning), second.epoch)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_knows_its_children_until_they_close() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let (mut machine, mut disk) = (compute("alice"), volume("alice"));
        let mut child = attachment("alice", &[&machine, &disk]);
        let missing = refusal(orders.accept(acceptance(&child)).await.unwrap_err());
        assert!(missing.has_code("dependency-gone"), "{missing}");
        for order in [&machine, &disk, &child] {
            orders.accept(acceptance(order)).await.unwrap();
        }
        assert_eq!(orders.dependants(machine.id).await.unwrap(), [child.id]);
        let mut delete = next(&mut machine.clone(), State::Closing);
        delete.only_without_dependants = true;
        let refused = refusal(orders.change(delete.clone()).await.unwrap_err());
        assert!(refused.has_code("dependants"));
        assert_eq!(refused.details["dependants"], serde_json::json!([child.id.to_string()]));
        orders.change(next(&mut child, State::Closing)).await.unwrap();
        assert_eq!(orders.dependants(disk.id).await.unwrap(), [child.id], "closing is not closed");
        orders.change(next(&mut child, State::Closed)).await.unwrap();
        assert_eq!(orders.dependants(disk.id).await.unwrap(), []);
        orders.change(delete).await.unwrap();
        machine.state = State::Closing;
        machine.revision += 1;
        let late = attachment("alice", &[&machine, &disk]);
        assert!(refusal(orders.accept(acceptance(&late)).await.unwrap_err()).has_code("dependency-gone"));
        orders.change(next(&mut disk, State::FailedOnRequest)).await.unwrap();
        let late = attachment("alice", &[&disk]);
        assert!(refusal(orders.accept(acceptance(&late)).await.unwrap_err()).has_code("dependency-gone"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_what_is_asked_then_what_is_given_and_give_it_back() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let counter = "cloud/cloud-1";
        let mut limit = instances(counter, 2);
        limit.vcpu = Some(5);
        let accept = |order: &archipel_model::order::Order| {
            let mut acceptance = acceptance(order);
            acceptance.limits = vec![limit.clone()];
            acceptance
        };
        let (mut one, two, three) = (compute("alice"), compute("bob"), compute("bob"));
        orders.accept(accept(&one)).await.unwrap();
        one.instance = Some(Instance {
            id: "vm-1".into(),
            status: Status::Ready,
            cloud_state: "ACTIVE".into(),
            addresses: vec![],
            allocation: Allocation { vcpu: Some(4), ram_mib: Some(1024), disk_gib: None },
            observed_at: None,
            driver_state: String::new(),
        });
        orders.change(next(&mut one, State::Fulfilled)).await.unwrap();
        let given = Usage { instances: 1, vcpu: 4, ram_mib: 1024, disk_gib: 0 };
        assert_eq!(orders.usage(counter).await.unwrap(), given);
        let refused = refusal(orders.accept(accept(&two)).await.unwrap_err());
        assert!(refused.has_code("limit-exceeded"));
        assert_eq!(
            refused.message,
            "the site's limit for cloud/cloud-1 is 5 vcpu, 4 are in use and 2 are asked for; delete something or ask \
             for less"
        );
        assert_eq!(orders.usage(counter).await.unwrap(), given, "a refused order counts nowhere");
        assert_eq!(orders.usage("user/https:%2F%2Fidp.example.org/bob").await.unwrap(), Usage::default());
        orders.change(next(&mut one, State::Closing)).await.unwrap();
        orders.change(next(&mut one, State::Closed)).await.unwrap();
        assert_eq!(orders.usage(counter).await.unwrap(), Usage::default());
        orders.accept(accept(&two)).await.unwrap();
        orders.accept(accept(&three)).await.unwrap();
        let refused = refusal(orders.accept(accept(&compute("eve"))).await.unwrap_err());
        assert_eq!(refused.details["resource"], "instances");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requesting_sites_order_is_taken_once() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let origin = RemoteOrder { site: "site-b.example.org".parse().unwrap(), order: OrderId::generate() };
        let (mut one, mut two) = (compute("alice"), compute("alice"));
        one.origin = Some(origin.clone());
        two.origin = Some(origin);
        orders.accept(acceptance(&one)).await.unwrap();
        assert!(refusal(orders.accept(acceptance(&two)).await.unwrap_err()).has_code("origin-taken"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let mut made = Vec::new();
        for number in 0..400 {
            let mut order = if number % 3 == 0 { volume("alice") } else { compute("bob") };
            order.group = (number % 5 == 0).then(|| "physics".to_owned());
            order.labels.insert("parity".into(), (number % 2).to_string());
            orders.accept(acceptance(&order)).await.unwrap();
            if number % 7 == 0 {
                orders.change(next(&mut order, State::Closing)).await.unwrap();
                orders.change(next(&mut order, State::Closed)).await.unwrap();
            }
            made.push(order);
        }
        let closed_too = vec![State::Open, State::Closed];
        let visibles = [
            Visible::Any,
            Visible::Own(owner("alice")),
            Visible::Own(owner("nobody")),
            Visible::Group(owner("alice"), "physics".into()),
        ];
        for visible in visibles {
            for states in [vec![], vec![State::Closed], closed_too.clone(), vec![State::Closing]] {
                for (kind, parity) in [(None, None), (Some(Kind::Volume), Some("1"))] {
                    let wanted: Vec<OrderId> = made
                        .iter()
                        .filter(|order| visible.covers(&order.owner(), order.group.as_deref()))
                        .filter(|order| match states.is_empty() {
                            true => order.state != State::Closed,
                            false => states.contains(&order.state),
                        })
                        .filter(|order| kind.is_none_or(|kind| order.kind == kind))
                        .filter(|order| parity.is_none_or(|parity| order.labels["parity"] == parity))
                        .map(|order| order.id)
                        .collect();
                    for limit in [1, 7, 100, 1000] {
                        let mut query = all(visible.clone());
                        (query.states, query.kind, query.limit) = (states.clone(), kind, limit);
                        query.labels.extend(parity.map(|parity| ("parity".to_owned(), parity.to_owned())));
                        let mut seen = Vec::new();
                        loop {
                            let page = orders.list(&query).await.unwrap();
                            assert!(
                                page.items.len() == limit || page.next.is_none(),
                                "only the last page is short"
                            );
                            seen.extend(page.items.iter().map(|order| order.id));
                            match page.next {
                                Some(next) => query.after = Some(next),
                                None => break,
                            }
                        }
                        assert_eq!(seen, wanted, "{visible:?} {states:?} {kind:?} {limit}");
                    }
                }
            }
        }
        let active = orders.active(&"cloud-1".parse().unwrap(), None, 10_000).await.unwrap();
        assert_eq!(active.items.len(), made.iter().filter(|order| order.state != State::Closed).count());
        assert_eq!(orders.active(&"cloud-2".parse().unwrap(), None, 10).await.unwrap().items, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_orders_are_forgotten_in_time_and_nothing_of_them_is_left() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let before = f.engine.range(&crate::engine::Range::prefix(b"", 10_000)).await.unwrap().len();
        let mut made = Vec::new();
        for _ in 0..3 {
            let mut order = compute("alice");
            order.group = Some("physics".into());
            orders.accept(acceptance(&order)).await.unwrap();
            made.push(order);
        }
        let closing = made[0].updated_at.plus(Duration::from_secs(100));
        for order in &mut made[..2] {
            orders.change(next(order, State::Closing)).await.unwrap();
            order.updated_at = closing;
            orders.change(next(order, State::Closed)).await.unwrap();
        }
        let none = Timestamp::from_millis(0);
        assert_eq!(orders.forget_before(closing, none, none, 10).await.unwrap(), 0, "not yet");
        let after = closing.plus(Duration::from_millis(1));
        assert_eq!(orders.forget_before(after, none, none, 1).await.unwrap(), 1);
        assert_eq!(orders.forget_before(after, none, none, 10).await.unwrap(), 1);
        assert_eq!(orders.get(made[0].id).await.unwrap(), None);
        assert_eq!(orders.get(made[2].id).await.unwrap().as_ref(), Some(&made[2]));
        let last = &mut made[2];
        orders.change(next(last, State::Closing)).await.unwrap();
        orders.change(next(last, State::Closed)).await.unwrap();
        let far = after.plus(Duration::from_secs(1_000_000));
        orders.forget_before(far, far, far, 1000).await.unwrap();
        let left = f.engine.range(&crate::engine::Range::prefix(b"", 10_000)).await.unwrap().len();
        assert_eq!(left, before, "every index goes with its record");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_what_is_there() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let mut order = compute("alice");
        orders.accept(acceptance(&order)).await.unwrap();
        orders.accept(acceptance(&compute("alice"))).await.unwrap();
        orders.change(next(&mut order, State::Closing)).await.unwrap();
        orders.change(next(&mut order, State::Closed)).await.unwrap();
        orders.probe().await.unwrap();
        let stats = f.store.stats().await.unwrap();
        assert_eq!((stats.orders, stats.closed_orders, stats.sessions), (1, 1, 0));
        assert!(stats.newest_event > 0 && stats.commits >= 5);
    })
    .await;
}

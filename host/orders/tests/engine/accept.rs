//! What is accepted, what is refused and with which words.

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_model::order::{Kind, State};
use archipel_model::site::CloudState;
use archipel_model::spec::{LeaseRequest, Spec, VolumeSpec};
use archipel_model::{Error, ErrorKind, OrderId};
use archipel_orders::store::{IdempotencyScope, Visible};
use archipel_orders::{Created, IdempotencyRequest, LimitRule, LimitUser, OrderPatch, WaitFor};

use crate::support::*;

fn field(error: &Error) -> &str {
    assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
    error.details["field"].as_str().unwrap()
}

fn key(text: &str, hash: &str) -> IdempotencyRequest {
    let scope =
        IdempotencyScope { owner: alice().user.owner(), path: "/v1/computes".into(), key: text.into() };
    IdempotencyRequest { scope, request_hash: hash.into() }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_order_holds_all_that_was_asked_and_one_event_tells_of_it() {
    let rig = Rig::new();
    let mut request = compute();
    request.name = "web".into();
    request.labels.insert("team".into(), "a".into());
    let order = rig.create(request).await.unwrap();
    assert_eq!((order.state, order.version, order.revision), (State::Open, 1, 1));
    assert_eq!(order.spec["vcpu"], 2);
    assert_eq!(order.group.as_deref(), Some("physics"));
    assert_eq!(rig.events(order.id), ["open"]);
    assert_eq!(rig.order(order.id), order);
    let found = rig.orders.get(&Visible::Own(order.owner()), order.id, Some(Kind::Compute)).await.unwrap();
    assert_eq!(found, order);
    let other_kind = rig.orders.get(&Visible::Any, order.id, Some(Kind::Volume)).await.unwrap_err();
    let other_owner = Visible::Own(requester("eve", &[]).user.owner());
    let not_hers = rig.orders.get(&other_owner, order.id, None).await.unwrap_err();
    let unknown = rig.orders.get(&Visible::Any, OrderId::generate(), None).await.unwrap_err();
    assert_eq!(other_kind, unknown);
    assert_eq!(not_hers, unknown);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_is_refused_with_the_field_that_is() {
    let rig = Rig::new();
    let refuse = async |change: fn(&mut archipel_model::spec::CreateOrder)| {
        let mut request = compute();
        change(&mut request);
        rig.create(request).await.unwrap_err()
    };
    assert_eq!(field(&refuse(|request| request.name = "x".repeat(256)).await), "name");
    assert_eq!(field(&refuse(|request| request.group = Some("chemistry".into())).await), "group");
    assert_eq!(
        field(&refuse(|request| drop(request.labels.insert("A".into(), String::new()))).await),
        "labels"
    );
    let past = refuse(|request| request.deadline = Some(archipel_model::Timestamp::from_millis(0))).await;
    assert_eq!((field(&past), past.has_code("deadline-passed")), ("deadline", true));
    let cloud = refuse(|request| request.cloud = Some("nimbus".into())).await;
    assert_eq!((field(&cloud), cloud.has_code("unknown-cloud")), ("cloud", true));
    let site = refuse(|request| request.site = Some("site-b.example.org".into())).await;
    assert_eq!((field(&site), site.has_code("unknown-site")), ("site", true));
    let site = refuse(|request| request.cloud = Some("emulated@site-b.example.org".into())).await;
    assert!(site.has_code("unknown-site"));
    let lease = refuse(|request| request.lease = Some(LeaseRequest::DurationS(0))).await;
    assert_eq!(field(&lease), "lease");
    let volume = order_of(Spec::Volume(VolumeSpec { size_gib: 1 << 40, ..VolumeSpec::default() }));
    assert_eq!(field(&rig.create(volume).await.unwrap_err()), "size_gib");
    assert_eq!(rig.store.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_cloud_may_be_left_out_where_the_site_has_just_one() {
    let mut request = compute();
    request.cloud = None;
    let one = Rig::new();
    assert_eq!(one.create(request.clone()).await.unwrap().cloud.as_str(), "emulated");
    request.cloud = Some("emulated@site-a.example.org".into());
    assert!(one.create(request.clone()).await.is_ok());
    let two = Rig::with(archipel_model::plugin::CreateBehaviour::Searchable, &["emulated", "other"]);
    request.cloud = None;
    assert_eq!(field(&two.create(request).await.unwrap_err()), "cloud");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_no_driver_has_is_unsupported_unless_the_driver_is_only_away() {
    let mut rig = Rig::new();
    rig.bindings[0].kinds = vec![Kind::Compute];
    rig.bind();
    assert_eq!(rig.create(volume()).await.unwrap_err().kind, ErrorKind::Unsupported);
    rig.bindings[0].kinds = Vec::new();
    rig.bindings[0].away = Some("it does not load".into());
    rig.bind();
    assert!(rig.create(volume()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_draining_cloud_takes_nothing_new_and_serves_what_it_has() {
    let mut rig = Rig::started();
    let before = rig.compute().await;
    rig.bindings[0].state = CloudState::Draining;
    rig.bind();
    let error = rig.create(compute()).await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.has_code("cloud-draining"));
    rig.until(before, State::Fulfilled).await;
    rig.delete(before).await;
    rig.until(before, State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_order_rests_on_must_be_visible_of_the_right_kind_in_the_same_cloud_and_alive() {
    let mut rig = Rig::with(archipel_model::plugin::CreateBehaviour::Searchable, &["emulated", "other"]);
    let machine = rig.compute().await;
    let disk = rig.create(volume()).await.unwrap().id;
    assert!(rig.create(attachment(machine, disk)).await.is_ok());
    assert_eq!(field(&rig.create(attachment(disk, machine)).await.unwrap_err()), "compute");
    assert_eq!(field(&rig.create(attachment(machine, "nonsense")).await.unwrap_err()), "volume");
    assert_eq!(field(&rig.create(attachment(machine, "$0")).await.unwrap_err()), "volume");
    assert_eq!(field(&rig.create(compute_on(machine)).await.unwrap_err()), "networks[0].order");

    let unknown = rig.create(attachment(machine, OrderId::generate())).await.unwrap_err();
    let hers = rig.create_as(&requester("eve", &[]), volume()).await.unwrap().id;
    let not_visible = rig.create(attachment(machine, hers)).await.unwrap_err();
    assert_eq!((field(&unknown), &unknown.message), (field(&not_visible), &not_visible.message));

    let mut elsewhere = volume();
    elsewhere.cloud = Some("other".into());
    let elsewhere = rig.create(elsewhere).await.unwrap().id;
    assert!(rig.create(attachment(machine, elsewhere)).await.unwrap_err().message.contains("one cloud"));

    let closed = rig.create(volume()).await.unwrap().id;
    rig.delete(closed).await;
    assert_eq!(field(&rig.create(attachment(machine, closed)).await.unwrap_err()), "volume");
    rig.start();
}

#[tokio::test(start_paused = true)]
async fn the_group_is_the_one_given_or_acted_for_or_the_only_one() {
    let rig = Rig::new();
    let group_of = async |who: archipel_orders::Requester, asked: Option<&str>| {
        let mut request = compute();
        request.group = asked.map(Into::into);
        rig.create_as(&who, request).await.unwrap().group
    };
    assert_eq!(group_of(requester("a", &["x"]), None).await.as_deref(), Some("x"));
    assert_eq!(group_of(requester("a", &["x", "y"]), None).await, None);
    assert_eq!(group_of(requester("a", &["x", "y"]), Some("y")).await.as_deref(), Some("y"));
    assert_eq!(group_of(requester("a", &[]), None).await, None);
    let acting = archipel_orders::Requester { group: Some("y".into()), ..requester("a", &["x", "y"]) };
    assert_eq!(group_of(acting, None).await.as_deref(), Some("y"));
}

#[tokio::test(start_paused = true)]
async fn obligations_bound_the_lease_and_add_labels() {
    let rig = Rig::new();
    let who = archipel_orders::Requester {
        max_lease_s: Some(3600),
        add_labels: BTreeMap::from([("cost".to_owned(), "physics".to_owned())]),
        ..alice()
    };
    let mut request = compute();
    request.labels.insert("cost".into(), "nobody".into());
    let order = rig.create_as(&who, request.clone()).await.unwrap();
    assert_eq!(order.lease.unwrap().expires_at, rig.clock.now().plus(Duration::from_secs(3600)));
    assert_eq!(order.labels["cost"], "physics");
    request.lease = Some(LeaseRequest::DurationS(3601));
    assert!(rig.create_as(&who, request).await.unwrap_err().has_code("lease-too-long"));
}

#[tokio::test(start_paused = true)]
async fn two_creates_never_share_the_last_slot() {
    let mut rig = Rig::new();
    let every = serde_json::from_str::<LimitUser>("\"*\"").unwrap();
    rig.limits = vec![LimitRule { user: Some(every), instances: Some(1), ..LimitRule::default() }];
    rig.orders.set_limits(rig.limits.clone());
    let (one, other) = tokio::join!(rig.create(compute()), rig.create(compute()));
    let refused = one.as_ref().err().or(other.as_ref().err()).unwrap();
    assert!(refused.has_code("limit-exceeded"));
    assert!(one.is_ok() || other.is_ok());
    assert!(
        rig.create_as(&requester("eve", &[]), compute()).await.is_ok(),
        "another user has a slot of her own"
    );
    let accepted = one.or(other).unwrap();
    rig.delete(accepted.id).await;
    assert!(rig.create(compute()).await.is_ok(), "a closed order gives its slot back");
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_amounts_counts_what_was_asked_for_and_a_named_user_has_its_own() {
    let rig = Rig::new();
    let rule = |text: &str| serde_json::from_str::<LimitRule>(text).unwrap();
    rig.orders.set_limits(vec![
        rule(r#"{"user": "*", "vcpu": 3}"#),
        rule(r#"{"user": {"issuer": "local", "subject": "bob"}, "vcpu": 100}"#),
        rule(r#"{"cloud": "emulated", "disk_gib": 15}"#),
    ]);
    assert!(rig.create(compute()).await.is_ok());
    assert!(rig.create(compute()).await.unwrap_err().has_code("limit-exceeded"));
    let bob = requester("bob", &[]);
    for _ in 0..5 {
        assert!(rig.create_as(&bob, compute()).await.is_ok());
    }
    assert!(rig.create(volume()).await.is_ok());
    assert!(rig.create_as(&bob, volume()).await.unwrap_err().has_code("limit-exceeded"));
    assert!(rule(r#"{"user": "*"}"#).check().is_err());
    assert!(rule(r#"{"user": "*", "group": "*", "vcpu": 1}"#).check().is_err());
    assert!(serde_json::from_str::<LimitRule>(r#"{"users": "*"}"#).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_gets_the_first_answer_and_another_request_under_it_is_refused() {
    let rig = Rig::new();
    let create =
        async |key: IdempotencyRequest| rig.orders.create(&alice(), compute(), Some(key), &answer).await;
    let Created::New(order) = create(key("k", "h")).await.unwrap() else { panic!("replayed") };
    assert_eq!(create(key("k", "h")).await.unwrap(), Created::Replayed(answer(&order)));
    assert!(create(key("k", "other")).await.unwrap_err().has_code("idempotency-key-reused"));
    assert!(matches!(create(key("k2", "h")).await.unwrap(), Created::New(_)));
    assert_eq!(rig.store.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_twins_make_one_order() {
    let rig = Rig::new();
    let who = alice();
    let create = || rig.orders.create(&who, compute(), Some(key("k", "h")), &answer);
    let all = futures::future::join_all((0..8).map(|_| create())).await;
    let new = all.iter().filter(|created| matches!(created, Ok(Created::New(_)))).count();
    let replayed = all.iter().filter(|created| matches!(created, Ok(Created::Replayed(_)))).count();
    assert_eq!((new, replayed, rig.store.all().len()), (1, 7, 1));
}

#[tokio::test(start_paused = true)]
async fn bulk_items_stand_alone_and_refer_to_earlier_ones() {
    let mut rig = Rig::new();
    let mut wrong = compute();
    wrong.cloud = Some("nimbus".into());
    let items = || {
        vec![
            Ok(compute()),
            Ok(volume()),
            Ok(attachment("$0", "$1")),
            Ok(wrong.clone()),
            Ok(attachment("$3", "$1")),
            Err(Error::invalid("no kind")),
            Ok(attachment("$0", "$6")),
            Ok(attachment("$0", "$x")),
        ]
    };
    let ids: Vec<OrderId> = (0..8).map(|_| OrderId::generate()).collect();
    let results = rig.orders.bulk(&alice(), items(), &ids).await;
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, true, false, false, false, false, false]);
    assert_eq!(rig.order(ids[2]).spec["compute"], ids[0].to_string());
    assert_eq!(field(results[4].as_ref().unwrap_err()), "compute");
    assert_eq!(field(results[6].as_ref().unwrap_err()), "volume");

    let again = rig.orders.bulk(&alice(), items(), &ids).await;
    assert_eq!(again[..3], results[..3]);
    assert_eq!(rig.store.all().len(), 3, "a repetition doubles nothing");
    rig.start();
    rig.until(ids[2], State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_items_are_accepted_at_once() {
    let rig = Rig::new();
    let ids: Vec<OrderId> = (0..1000).map(|_| OrderId::generate()).collect();
    let results = rig.orders.bulk(&alice(), (0..1000).map(|_| Ok(volume())).collect(), &ids).await;
    assert!(results.iter().zip(&ids).all(|(result, id)| result.as_ref().unwrap().id == *id));
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_labels_and_lease_and_nothing_when_the_version_is_another() {
    let rig = Rig::new();
    let id = rig.compute().await;
    let patch = |label: Option<&str>| OrderPatch {
        labels: BTreeMap::from([("team".to_owned(), label.map(Into::into))]),
        lease: Some(Some(LeaseRequest::DurationS(60))),
        max_lease_s: None,
    };
    let order = rig.orders.patch(id, Some(1), patch(Some("a"))).await.unwrap();
    assert_eq!((order.version, order.labels["team"].as_str()), (2, "a"));
    assert!(rig.orders.patch(id, Some(1), patch(None)).await.unwrap_err().has_code("precondition-failed"));
    let order = rig.orders.patch(id, None, patch(None)).await.unwrap();
    assert!(order.labels.is_empty());
    let same = rig.orders.patch(id, None, OrderPatch::default()).await.unwrap();
    assert_eq!(same.version, order.version, "what changes nothing is no new version");
    assert_eq!(rig.events(id), ["open", "updated", "updated"]);
    let removed =
        rig.orders.patch(id, None, OrderPatch { lease: Some(None), ..OrderPatch::default() }).await.unwrap();
    assert_eq!(removed.lease, None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_it_is_so_or_when_the_time_is_up() {
    let mut rig = Rig::new();
    let id = rig.compute().await;
    let wait = |until, s| rig.orders.wait(id, until, Duration::from_secs(s));
    assert_eq!(wait(WaitFor::Settled, 3).await.unwrap().state, State::Open);
    assert_eq!(wait(WaitFor::ChangedSince(0), 3).await.unwrap().version, 1);
    let (order, ()) = tokio::join!(wait(WaitFor::ChangedSince(1), 30), async {
        rig.orders
            .patch(
                id,
                None,
                OrderPatch { lease: Some(Some(LeaseRequest::DurationS(9999))), ..OrderPatch::default() },
            )
            .await
            .unwrap();
    });
    assert_eq!(order.unwrap().version, 2);
    rig.start();
    assert_eq!(
        rig.orders.wait(id, WaitFor::Settled, Duration::from_secs(60)).await.unwrap().state,
        State::Fulfilled
    );
    assert!(rig.orders.wait(OrderId::generate(), WaitFor::Settled, Duration::ZERO).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_write_accepts_nothing() {
    let rig = Rig::new();
    rig.store.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(rig.create(compute()).await.unwrap_err().has_code("store-unavailable"));
    rig.store.down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(rig.as_store().probe().await.is_ok());
    assert!(rig.store.all().is_empty());
}

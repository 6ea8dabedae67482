//! The sweep: what the cloud holds that no order has, told and never mistaken.

use std::time::Duration;

use archipel_model::order::{Kind, State};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::site::{SweepPolicy, UnknownInstances};
use archipel_model::{Error, OrderId};
use archipel_orders::sweep::report::{CloudSweep, Fate, SweepState, Why};

use crate::support::cloud::Fault;
use crate::support::*;

/// A cloud of computes alone, in a store that began here.
async fn rig(unknown: UnknownInstances) -> Rig {
    let mut rig = Rig::new();
    rig.bindings[0].kinds = vec![Kind::Compute];
    rig.bindings[0].sweep = SweepPolicy { every_s: 0, unknown };
    rig.bind();
    rig.as_store().confirm().await.unwrap();
    rig.start();
    rig
}

async fn swept(rig: &Rig) -> CloudSweep {
    let before = last(rig).await.began_at;
    rig.orders.ask_for_sweep(Some("emulated")).unwrap();
    for _ in 0..3600 {
        pass(1).await;
        let report = last(rig).await;
        if report.began_at != before && matches!(report.state, SweepState::Done | SweepState::Incomplete) {
            return report;
        }
    }
    panic!("the sweep does not end: {:?}", last(rig).await);
}

async fn last(rig: &Rig) -> CloudSweep {
    rig.orders.sweep_report().await.unwrap().clouds.remove(0)
}

fn tag(id: OrderId) -> String {
    format!("archipel:{}:{id}", here())
}

#[tokio::test(start_paused = true)]
async fn what_no_order_has_is_listed_and_left_alone() {
    let rig = rig(UnknownInstances::Report).await;
    let (held, closed) = (rig.fulfilled().await, rig.fulfilled().await);
    rig.delete(closed).await;
    rig.until(closed, State::Closed).await;
    let stranger = OrderId::generate();
    let unknown = rig.cloud().plant(&tag(stranger), "team");
    let left = rig.cloud().plant(&tag(closed), "team");
    let twin = rig.cloud().plant(&tag(held), "team");
    rig.cloud().plant(&format!("archipel:site-b.example.org:{stranger}"), "team");
    pass(60).await;
    let report = swept(&rig).await;
    assert_eq!((report.state, report.accounts, report.looked_at), (SweepState::Done, 1, 4));
    let found: Vec<(&str, OrderId, Why)> =
        report.unknown.iter().map(|one| (one.instance.as_str(), one.order, one.why)).collect();
    let expected = [
        (unknown.as_str(), stranger, Why::NoOrder),
        (left.as_str(), closed, Why::ClosedOrder),
        (twin.as_str(), held, Why::Duplicate),
    ];
    assert_eq!(found, expected);
    assert!(report.unknown.iter().all(|one| one.fate == Fate::Reported));
    assert_eq!(rig.cloud().all_live(), 5, "nothing was touched");
    let figures = rig.orders.figures().queues[&"emulated".parse().unwrap()].sweep;
    assert_eq!((figures.sweeps, figures.unknown, figures.deleted), (1, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_young_or_in_flight_is_not_reported() {
    let rig = rig(UnknownInstances::Delete).await;
    let ready = rig.fulfilled().await;
    rig.cloud()
        .ledger()
        .request_faults
        .extend([Fault::SlowThenLost(Duration::from_secs(40)), Fault::LoseAnswer]);
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(600);
    let (slow, lost) = (rig.compute().await, rig.compute().await);
    rig.until(slow, State::Selected).await;
    *rig.cloud().delete_takes.lock().unwrap() = Duration::from_secs(100);
    rig.delete(ready).await;
    for _ in 0..10 {
        rig.compute().await;
        rig.cloud().plant(&tag(OrderId::generate()), "team");
        let report = swept(&rig).await;
        let young = report.unknown.iter().filter(|one| {
            report.began_at.unwrap().since(one.created_at.unwrap()) < SETTLE - Duration::from_secs(1)
        });
        assert_eq!(young.count(), 0, "{report:?}");
        let ours = rig.store.all();
        assert!(
            report.unknown.iter().all(|one| ours.iter().all(|order| order.id != one.order)),
            "{report:?}"
        );
    }
    for id in [slow, lost] {
        rig.until(id, State::Fulfilled).await;
        assert_eq!(rig.cloud().live(id).len(), 1);
    }
    rig.until(ready, State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_listed_and_is_gone_at_the_second_look_is_not_reported() {
    let rig = rig(UnknownInstances::Report).await;
    rig.fulfilled().await;
    let passing = rig.cloud().plant(&tag(OrderId::generate()), "team");
    pass(60).await;
    rig.orders.ask_for_sweep(None).unwrap();
    pass(5).await;
    assert_eq!(last(&rig).await.state, SweepState::Running);
    rig.cloud().destroy(&passing);
    pass(60).await;
    let report = last(&rig).await;
    assert_eq!((report.state, report.unknown.len(), report.looked_at), (SweepState::Done, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn where_the_site_says_so_what_is_nobodys_is_deleted_and_nothing_else() {
    let rig = rig(UnknownInstances::Delete).await;
    let (held, closed) = (rig.fulfilled().await, rig.fulfilled().await);
    rig.delete(closed).await;
    rig.until(closed, State::Closed).await;
    rig.cloud().plant(&tag(OrderId::generate()), "team");
    rig.cloud().plant(&tag(closed), "team");
    let twin = rig.cloud().plant(&tag(held), "team");
    let locked = rig.cloud().plant(&tag(OrderId::generate()), "team");
    pass(60).await;
    let faults = [Fault::Slow(Duration::ZERO), Fault::Slow(Duration::ZERO)];
    rig.cloud().ledger().delete_faults.extend(faults);
    rig.cloud().ledger().delete_faults.push_back(Fault::Refuse(Error::permanent("locked")));
    let report = swept(&rig).await;
    let fates: Vec<&Fate> = report.unknown.iter().map(|one| &one.fate).collect();
    let refused = Fate::Refused("locked".into());
    assert_eq!(fates, [&Fate::Deleted, &Fate::Deleted, &Fate::Reported, &refused]);
    let live: Vec<String> = rig
        .cloud()
        .ledger()
        .made
        .iter()
        .filter(|made| made.gone_at.is_none())
        .map(|made| made.id.clone())
        .collect();
    assert_eq!(live, [rig.order(held).instance.unwrap().id, twin, locked]);
    assert_eq!(rig.orders.figures().queues[&"emulated".parse().unwrap()].sweep.deleted, 2);
    assert_eq!(swept(&rig).await.deleted(), 1, "the locked one goes when it can");
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_deletes_nothing_until_somebody_confirmed_it() {
    let mut rig = rig(UnknownInstances::Delete).await;
    rig.fulfilled().await;
    rig.stop().await;
    pass(5).await;
    rig.store.restored();
    let somebodys = rig.cloud().plant(&tag(OrderId::generate()), "team");
    rig.start();
    pass(60).await;
    let report = rig.orders.sweep_report().await.unwrap();
    assert!(!report.confirmed);
    let sweep = swept(&rig).await;
    assert_eq!(
        (sweep.unknown[0].instance.as_str(), &sweep.unknown[0].fate),
        (somebodys.as_str(), &Fate::Unconfirmed)
    );
    assert_eq!(rig.cloud().all_live(), 2);
    let wrong = rig.orders.confirm_store(uuid::Uuid::now_v7()).await.unwrap_err();
    assert!(wrong.has_code("another-incarnation"), "{wrong:?}");
    assert!(!rig.orders.sweep_report().await.unwrap().confirmed);
    rig.orders.confirm_store(report.incarnation).await.unwrap();
    rig.crash().await;
    rig.start();
    pass(5).await;
    assert!(rig.orders.sweep_report().await.unwrap().confirmed, "it is durable");
    assert!(
        swept(&rig).await.unknown.is_empty(),
        "a daemon that just started knows of nothing how old it is"
    );
    pass(60).await;
    assert_eq!(swept(&rig).await.unknown[0].fate, Fate::Deleted);
    rig.store.restored();
    assert!(!rig.orders.sweep_report().await.unwrap().confirmed, "another restore needs another word");
}

#[tokio::test(start_paused = true)]
async fn forgotten_orders_are_named_as_possible_orphans_with_what_the_cloud_shows() {
    let rig = rig(UnknownInstances::Report).await;
    let (shown, gone) = (rig.fulfilled().await, rig.fulfilled().await);
    rig.cloud().ledger().delete_faults.extend((0..9).map(|_| Fault::Refuse(Error::permanent("locked"))));
    for id in [shown, gone] {
        rig.delete(id).await;
        rig.until_so(id, |order| order.fault.is_some()).await;
        rig.orders.forget(id, "the account was lost").await.unwrap();
    }
    rig.cloud().destroy(&rig.order(gone).instance.unwrap().id);
    pass(60).await;
    let report = swept(&rig).await;
    let orphans: Vec<(OrderId, Option<bool>)> =
        report.possible_orphans.iter().map(|one| (one.order, one.is_shown)).collect();
    assert_eq!(orphans, [(shown, Some(true)), (gone, Some(false))]);
    assert_eq!(report.unknown.len(), 1);
    assert_eq!((report.unknown[0].order, report.unknown[0].why), (shown, Why::ClosedOrder));
    *rig.cloud().page.lock().unwrap() = 0;
    let report = swept(&rig).await;
    assert_eq!(report.state, SweepState::Incomplete);
    assert!(report.gaps[0].reason.contains("cannot list"), "{:?}", report.gaps);
    assert!(report.possible_orphans.iter().all(|one| one.is_shown.is_none()));
}

#[tokio::test(start_paused = true)]
async fn it_runs_by_itself_in_its_period_and_a_cloud_that_hangs_holds_up_only_its_own() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["emulated", "hangs"]);
    for binding in &mut rig.bindings {
        binding.kinds = vec![Kind::Compute];
        binding.sweep = SweepPolicy { every_s: 3600, ..SweepPolicy::default() };
    }
    rig.bind();
    rig.start();
    for cloud in ["emulated", "hangs"] {
        let mut request = compute();
        request.cloud = Some(cloud.into());
        let id = rig.create(request).await.unwrap().id;
        rig.until(id, State::Fulfilled).await;
    }
    *rig.bindings[1].cloud.call_takes.lock().unwrap() = Duration::from_secs(365 * 86_400);
    rig.cloud().plant(&tag(OrderId::generate()), "team");
    pass(86_400).await;
    let figures = rig.orders.figures();
    let sweeps = figures.queues[&"emulated".parse().unwrap()].sweep;
    assert!((21..=27).contains(&sweeps.sweeps), "{sweeps:?} in a day");
    assert_eq!(sweeps.unknown, 1);
    while rig.orders.sweep_report().await.unwrap().clouds.iter().any(|one| one.state == SweepState::Running) {
        pass(10).await;
    }
    let report = rig.orders.sweep_report().await.unwrap();
    assert_eq!((report.clouds[0].state, report.clouds[1].state), (SweepState::Done, SweepState::Incomplete));
    assert!(rig.orders.ask_for_sweep(Some("nowhere")).unwrap_err().has_code("unknown-cloud"));
}

#[tokio::test(start_paused = true)]
async fn more_than_a_report_holds_are_counted() {
    let mut rig = Rig::new();
    rig.settings.sweep_most = 10;
    rig.bindings[0].kinds = vec![Kind::Compute];
    rig.bind();
    rig.start();
    rig.fulfilled().await;
    for _ in 0..35 {
        rig.cloud().plant(&tag(OrderId::generate()), "team");
    }
    pass(60).await;
    let report = swept(&rig).await;
    assert_eq!((report.unknown.len(), report.more), (10, 25));
}

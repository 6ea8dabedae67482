//! What an order waits for, and how it goes on by itself.

use std::time::Duration;

use archipel_model::order::{OnQuota, State, Status, WaitingFor};
use archipel_model::site::CloudState;
use archipel_model::{Error, ErrorKind};

use crate::support::cloud::Fault;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_order_waits_for_what_it_rests_on_and_goes_on_at_once() {
    let rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(30);
    let machine = rig.compute().await;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    let order = rig.until(link, State::Waiting).await;
    assert_eq!(order.waiting_for, [WaitingFor::Order { order: machine }, WaitingFor::Order { order: disk }]);
    rig.until(machine, State::Fulfilled).await;
    rig.until(disk, State::Fulfilled).await;
    let ready = rig.clock.now();
    let order = rig.until(link, State::Spawning).await;
    assert!(rig.clock.now().since(ready) < Duration::from_millis(500), "an event woke it, not a sweep");
    assert!(order.waiting_for.is_empty());
    rig.until(link, State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn stopped_and_paused_satisfy_and_hibernated_does_not() {
    let rig = Rig::started();
    let machine = rig.fulfilled().await;
    let disk = rig.create(volume()).await.unwrap().id;
    rig.until(disk, State::Fulfilled).await;
    let instance = rig.order(machine).instance.unwrap().id;
    rig.cloud().set_status(&instance, Status::Hibernated);
    rig.until(machine, State::Hibernated).await;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Waiting).await;
    pass(600).await;
    assert_eq!(rig.order(link).state, State::Waiting);
    rig.cloud().set_status(&instance, Status::Stopped);
    rig.until(link, State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_dependency_fails_or_is_deleted_fails_with_it_named() {
    let rig = Rig::started();
    let disk = rig.create(volume()).await.unwrap().id;
    rig.until(disk, State::Fulfilled).await;
    rig.cloud().ledger().request_faults.push_back(Fault::Refuse(Error::permanent("no")));
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(5);
    let machine = rig.compute().await;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Waiting).await;
    let fault = rig.until(link, State::FailedOnRequest).await.fault.unwrap();
    assert_eq!((fault.code.as_deref(), fault.order), (Some("dependency-failed"), Some(machine)));
    assert_eq!(rig.order(link).requested_at, None);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_dependency_keeps_it_waiting() {
    let rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(60);
    let machine = rig.compute().await;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(machine, State::Spawning).await;
    rig.cloud().ledger().away = Some(Error::transient("down"));
    rig.until_so(machine, |order| order.unreachable.is_some()).await;
    pass(1800).await;
    assert_eq!(rig.order(link).state, State::Waiting);
    rig.cloud().ledger().away = None;
    rig.until(link, State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn a_cloud_in_maintenance_keeps_creates_waiting_and_serves_the_rest() {
    let mut rig = Rig::started();
    let before = rig.fulfilled().await;
    rig.bindings[0].state = CloudState::Maintenance;
    rig.bind();
    let id = rig.compute().await;
    let order = rig.until(id, State::Waiting).await;
    assert_eq!(order.waiting_for, [WaitingFor::Maintenance]);
    rig.delete(before).await;
    rig.until(before, State::Closed).await;
    pass(3600).await;
    assert_eq!(rig.order(id).state, State::Waiting);
    rig.bindings[0].state = CloudState::Active;
    rig.bind();
    let ended = rig.clock.now();
    rig.until(id, State::Fulfilled).await;
    assert!(rig.clock.now().since(ended) < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline() {
    let mut rig = Rig::new();
    rig.bindings[0].state = CloudState::Maintenance;
    rig.bind();
    rig.start();
    let mut request = compute();
    request.deadline = Some(rig.clock.now().plus(Duration::from_secs(90)));
    let id = rig.create(request).await.unwrap().id;
    rig.until(id, State::Waiting).await;
    let order = rig.until(id, State::FailedOnRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("deadline-passed"));
    assert!(rig.clock.now().since(order.deadline.unwrap()) < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn waiting_survives_a_restart() {
    let mut rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(60);
    let machine = rig.compute().await;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Waiting).await;
    rig.crash().await;
    rig.start();
    rig.until(link, State::Fulfilled).await;
}

fn full() -> Fault {
    Fault::Refuse(Error::new(ErrorKind::QuotaExceeded, "8 of 8 instances are used"))
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_fails_an_order_that_did_not_ask_to_wait() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(full());
    let id = rig.compute().await;
    let fault = rig.until(id, State::FailedOnRequest).await.fault.unwrap();
    assert_eq!((fault.kind, fault.message.as_str()), (ErrorKind::QuotaExceeded, "8 of 8 instances are used"));
    assert_eq!(rig.cloud().calls("request", id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_quota_tries_by_itself_ever_more_slowly_also_after_a_restart() {
    let mut rig = Rig::started();
    rig.cloud().ledger().request_faults.extend(std::iter::repeat_with(full).take(6));
    let mut request = compute();
    request.on_quota = OnQuota::Wait;
    let id = rig.create(request).await.unwrap().id;
    let order = rig.until(id, State::Waiting).await;
    assert_eq!(
        order.fault.unwrap().kind,
        ErrorKind::QuotaExceeded,
        "what it waits for is told with the cloud's words"
    );
    rig.crash().await;
    rig.start();
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!((order.fault, order.waiting_for), (None, Vec::new()));
    let asked = rig.cloud().calls("request", id);
    assert_eq!(asked.len(), 7);
    assert!(asked[6].since(asked[5]) > asked[2].since(asked[1]), "{asked:?}");
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_quota_fails_at_its_deadline() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.extend(std::iter::repeat_with(full).take(1000));
    let mut request = compute();
    request.on_quota = OnQuota::Wait;
    request.deadline = Some(rig.clock.now().plus(Duration::from_secs(900)));
    let id = rig.create(request).await.unwrap().id;
    rig.until(id, State::Waiting).await;
    let order = rig.until(id, State::FailedOnRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("deadline-passed"));
    assert!(rig.clock.now().since(order.deadline.unwrap()) < Duration::from_secs(1));
    assert_eq!(rig.cloud().all_live(), 0);
}

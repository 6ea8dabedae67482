//! A cloud that does not answer is left alone but for probes, and nothing else is taken for that.

use std::time::Duration;

use archipel_model::order::{Scope, State};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::{CloudName, Error, ErrorKind};
use archipel_orders::BreakerState;

use crate::support::cloud::Fault;
use crate::support::*;

fn breaker(rig: &Rig) -> BreakerState {
    let cloud: CloudName = "emulated".parse().unwrap();
    rig.orders.figures().queues[&cloud].breaker
}

#[tokio::test(start_paused = true)]
async fn a_silent_cloud_is_only_probed_and_everything_goes_on_when_it_is_back() {
    let rig = Rig::started();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(rig.fulfilled().await);
    }
    rig.cloud().ledger().away = Some(Error::transient("connection refused"));
    let waiting = rig.compute().await;
    pass(120).await;
    assert_ne!(breaker(&rig), BreakerState::Closed);
    let order = rig.until_so(waiting, |order| order.unreachable.is_some()).await;
    assert_eq!((order.state, order.unreachable.unwrap().scope), (State::Open, Scope::Cloud));
    let calls = rig.cloud().ledger().calls.len();
    pass(600).await;
    let calls = rig.cloud().ledger().calls.len() - calls;
    assert!((10..=60).contains(&calls), "{calls} probes in ten minutes, where 41 orders would ask 800 times");
    rig.cloud().ledger().away = None;
    let before = rig.clock.now();
    rig.until(waiting, State::Fulfilled).await;
    for id in ids {
        rig.until_so(id, |order| order.unreachable.is_none()).await;
    }
    assert!(rig.clock.now().since(before) < Duration::from_secs(100));
    assert_eq!(breaker(&rig), BreakerState::Closed);
    assert_eq!(rig.cloud().live(waiting).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_hangs_gives_its_slots_back() {
    let mut rig = Rig::new();
    rig.settings.call_timeout_ms = 20_000;
    rig.start();
    let held = rig.fulfilled().await;
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(3600);
    for _ in 0..30 {
        rig.compute().await;
    }
    pass(60).await;
    assert_ne!(breaker(&rig), BreakerState::Closed);
    assert!(rig.cloud().ledger().busy <= 1, "one probe at most hangs");
    let error = rig.orders.refresh(held).await.unwrap_err();
    assert!(error.kind == ErrorKind::Transient, "{error:?}");
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_millis(10);
    pass(600).await;
    assert!(rig.store.all().iter().all(|order| order.state == State::Fulfilled));
    assert_eq!(rig.cloud().all_live(), 31, "and nothing was made twice");
}

#[tokio::test(start_paused = true)]
async fn what_one_user_is_forbidden_closes_the_cloud_to_nobody() {
    let rig = Rig::started();
    let forbidden = || Fault::Refuse(Error::forbidden("your project is suspended"));
    rig.cloud().ledger().request_faults.extend((0..20).map(|_| forbidden()));
    for _ in 0..20 {
        let id = rig.compute().await;
        rig.until(id, State::FailedOnRequest).await;
    }
    assert_eq!(breaker(&rig), BreakerState::Closed);
    let figures = rig.orders.figures();
    let cloud = &figures.queues[&"emulated".parse().unwrap()];
    assert_eq!((cloud.calls_refused, cloud.calls_failed, cloud.silences_in_a_row), (20, 0, 0));
    let before = rig.clock.now();
    let hers = rig.create_as(&requester("bob", &[]), compute()).await.unwrap().id;
    rig.until(hers, State::Fulfilled).await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn one_clouds_circuit_is_not_anothers() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["emulated", "other"]);
    rig.start();
    rig.cloud().ledger().away = Some(Error::transient("down"));
    for _ in 0..10 {
        rig.compute().await;
    }
    pass(60).await;
    assert_ne!(breaker(&rig), BreakerState::Closed);
    assert!(rig.orders.check_cloud(&"emulated".parse().unwrap()).unwrap_err().retry_after.is_some());
    let mut request = compute();
    request.cloud = Some("other".into());
    let before = rig.clock.now();
    let id = rig.create(request).await.unwrap().id;
    rig.until(id, State::Fulfilled).await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(10));
    rig.orders.check_cloud(&"other".parse().unwrap()).unwrap();
}

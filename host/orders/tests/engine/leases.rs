//! The end of a lease, and the warnings before it.

use archipel_model::order::State;
use archipel_model::spec::LeaseRequest;
use archipel_orders::request::OrderPatch;

use crate::support::*;

const HOUR: u64 = 3600;

fn lasting(hours: u64) -> Option<Option<LeaseRequest>> {
    Some(Some(LeaseRequest::DurationS(u32::try_from(hours * HOUR).unwrap())))
}

fn warnings(rig: &Rig, id: archipel_model::OrderId) -> usize {
    rig.events(id).iter().filter(|word| *word == "lease-expiring").count()
}

#[tokio::test(start_paused = true)]
async fn the_owner_is_warned_a_day_and_an_hour_before_the_end() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let patched = OrderPatch { lease: lasting(48), ..OrderPatch::default() };
    let version = rig.orders.patch(id, None, patched).await.unwrap().version;
    pass(23 * HOUR).await;
    assert_eq!(warnings(&rig, id), 0);
    pass(2 * HOUR).await;
    assert_eq!(warnings(&rig, id), 1);
    assert_eq!(rig.order(id).version, version, "a warning changes nothing that a client sees");
    pass(21 * HOUR).await;
    assert_eq!(warnings(&rig, id), 1);
    pass(HOUR + 60).await;
    assert_eq!(warnings(&rig, id), 2);
    pass(HOUR).await;
    rig.until(id, State::Closed).await;
    assert_eq!(warnings(&rig, id), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_lease_has_the_warnings_that_still_come_and_a_longer_one_has_them_anew() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let patch =
        |hours| rig.orders.patch(id, None, OrderPatch { lease: lasting(hours), ..OrderPatch::default() });
    patch(2).await.unwrap();
    pass(30 * 60).await;
    assert_eq!(warnings(&rig, id), 0, "it never was a day before the end");
    pass(45 * 60).await;
    assert_eq!(warnings(&rig, id), 1);
    patch(25).await.unwrap();
    pass(2 * HOUR).await;
    assert_eq!(warnings(&rig, id), 2);
    assert_eq!(rig.order(id).state, State::Fulfilled);
}

#[tokio::test(start_paused = true)]
async fn warnings_that_were_missed_are_one() {
    let mut rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.orders.patch(id, None, OrderPatch { lease: lasting(48), ..OrderPatch::default() }).await.unwrap();
    rig.stop().await;
    pass(47 * HOUR + 600).await;
    rig.start();
    pass(120).await;
    assert_eq!(warnings(&rig, id), 1);
}

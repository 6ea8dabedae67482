//! A cloud that is away: a condition, never a failure, and no write more than needed.

use std::time::Duration;

use archipel_model::Error;
use archipel_model::order::{Scope, State};

use crate::support::cloud::Fault;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_outage_sets_the_condition_once_and_its_end_clears_it() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let before = rig.order(id);
    rig.cloud().ledger().away = Some(Error::transient("connection refused"));
    let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
    assert_eq!((order.state, order.version), (State::Fulfilled, before.version + 1));
    let condition = order.unreachable.unwrap();
    assert_eq!((condition.scope, condition.reason.as_str()), (Scope::Cloud, "connection refused"));
    let writes = rig.store.writes();
    pass(3 * 3600).await;
    assert_eq!(rig.store.writes(), writes, "an outage of hours is one write");
    assert_eq!(rig.order(id).state, State::Fulfilled);
    rig.cloud().ledger().away = None;
    let order = rig.until_so(id, |order| order.unreachable.is_none()).await;
    assert_eq!((order.state, order.version), (State::Fulfilled, before.version + 2));
    let words = rig.events(id);
    assert_eq!(words[words.len() - 2..], ["unreachable", "reachable"]);
}

#[tokio::test(start_paused = true)]
async fn no_error_of_a_look_ever_fails_an_order() {
    for error in [
        Error::permanent("400"),
        Error::forbidden("403"),
        Error::not_found("404"),
        Error::unauthenticated("401"),
        Error::internal("500"),
        Error::unsupported("501"),
    ] {
        let rig = Rig::started();
        let id = rig.fulfilled().await;
        rig.cloud().ledger().away = Some(error);
        rig.until_so(id, |order| order.unreachable.is_some()).await;
        pass(3600).await;
        assert_eq!(rig.order(id).state, State::Fulfilled);
        rig.cloud().ledger().away = None;
        rig.until_so(id, |order| order.unreachable.is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn looking_at_a_healthy_instance_writes_nothing() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    pass(60).await;
    let (writes, order) = (rig.store.writes(), rig.order(id));
    let looks = rig.cloud().calls("get", id).len();
    pass(3600).await;
    let looks = rig.cloud().calls("get", id).len() - looks;
    assert!((100..=140).contains(&looks), "{looks} looks in an hour at a period of 30 s");
    assert_eq!((rig.store.writes(), rig.order(id)), (writes, order));
    assert_eq!(rig.mapper().made(), 2, "a token of one hour serves all of them");
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_is_away_when_asked_to_delete_is_asked_again() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.cloud().ledger().away = Some(Error::transient("down"));
    rig.delete(id).await;
    let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
    assert_eq!(order.state, State::Closing);
    pass(3600).await;
    rig.cloud().ledger().away = None;
    rig.until(id, State::Closed).await;
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mapper_that_is_away_keeps_orders_open_and_costs_no_attempt() {
    let rig = Rig::started();
    *rig.mapper().away.lock().unwrap() = Some(Error::transient("keystone is down").code("plugin-away"));
    let id = rig.compute().await;
    rig.until_so(id, |order| order.unreachable.is_some()).await;
    pass(600).await;
    let order = rig.order(id);
    assert_eq!((order.state, order.attempts, order.requested_at), (State::Open, 0, None));
    *rig.mapper().away.lock().unwrap() = None;
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!(order.unreachable, None);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_is_not_tried_for_each_order_and_again_when_the_configuration_changed() {
    let mut rig = Rig::new();
    rig.start();
    let wrong = Error::transient("the password is wrong").retry_after(std::time::Duration::from_secs(60));
    *rig.mapper().away.lock().unwrap() = Some(wrong);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(rig.compute().await);
        pass(2).await;
    }
    pass(550).await;
    let logins = rig.orders.figures().tokens_made;
    assert!(logins <= 10, "{logins} logins in ten minutes: a cloud locks the account for less");
    *rig.mapper().away.lock().unwrap() = None;
    rig.bind();
    rig.orders.wake();
    pass(15).await;
    for id in ids {
        assert_eq!(rig.order(id).state, State::Fulfilled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapper_that_needs_the_user_says_so() {
    let rig = Rig::started();
    *rig.mapper().away.lock().unwrap() = Some(Error::unauthenticated("log in again"));
    let id = rig.compute().await;
    let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
    assert_eq!(order.unreachable.unwrap().scope, Scope::NeedsUser);
}

#[tokio::test(start_paused = true)]
async fn orders_of_a_cloud_that_is_no_longer_configured_are_left_alone_and_marked() {
    let mut rig = Rig::with(archipel_model::plugin::CreateBehaviour::Searchable, &["emulated", "other"]);
    rig.start();
    let id = rig.fulfilled().await;
    let removed = rig.bindings.remove(0);
    rig.stop().await;
    rig.bind();
    rig.start();
    let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
    assert!(order.unreachable.unwrap().reason.contains("not configured"));
    pass(3600).await;
    assert_eq!(rig.order(id).state, State::Fulfilled);
    rig.bindings.push(removed);
    rig.bind();
    rig.until_so(id, |order| order.unreachable.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asks_the_cloud_now_and_says_when_it_is_away() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    pass(5).await;
    let instance = rig.order(id).instance.unwrap().id;
    rig.cloud().set_status(&instance, archipel_model::order::Status::Stopped);
    let order = rig.orders.refresh(id).await.unwrap();
    assert_eq!(order.state, State::Stopped);
    pass(3).await;
    let again = rig.orders.refresh(id).await.unwrap();
    assert_eq!(again.version, order.version);
    assert_eq!(again.instance.unwrap().observed_at, Some(rig.clock.now()));
    rig.cloud().ledger().away = Some(Error::transient("down").retry_after(Duration::from_secs(9)));
    let error = rig.orders.refresh(id).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
    assert!(rig.order(id).unreachable.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_look_is_respected() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let busy = Error::transient("slow down").retry_after(Duration::from_secs(400));
    rig.cloud().ledger().get_faults.push_back(Fault::Refuse(busy));
    rig.until_so(id, |order| order.unreachable.is_some()).await;
    let looks = rig.cloud().calls("get", id).len();
    pass(390).await;
    assert_eq!(rig.cloud().calls("get", id).len(), looks);
    pass(30).await;
    assert!(rig.cloud().calls("get", id).len() > looks);
}

//! Queues, slots, claims: a slow cloud slows only itself, and two daemons never work on one queue.

use std::time::Duration;

use archipel_model::order::State;
use archipel_model::plugin::CreateBehaviour;

use crate::support::cloud::{Accounts, Fault};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn calls_to_a_cloud_stay_within_its_concurrency() {
    let mut rig = Rig::new();
    rig.bindings[0].concurrency = 3;
    rig.bind();
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_millis(300);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(rig.compute().await);
    }
    rig.start();
    for id in ids {
        rig.until(id, State::Fulfilled).await;
    }
    assert_eq!(rig.cloud().ledger().busiest, 3);
    assert_eq!(rig.cloud().all_live(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_hangs_slows_only_itself() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["hangs", "emulated"]);
    rig.start();
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(3600);
    for _ in 0..30 {
        let mut request = compute();
        request.cloud = Some("hangs".into());
        rig.create(request).await.unwrap();
    }
    pass(1).await;
    let before = rig.clock.now();
    rig.fulfilled().await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(10));
    let figures = rig.orders.figures();
    assert_eq!(figures.queues[&"hangs".parse().unwrap()].in_flight, 8);
    assert_eq!(figures.transitions[&State::Fulfilled], 1);
}

#[tokio::test(start_paused = true)]
async fn one_owner_with_many_orders_does_not_keep_another_waiting() {
    let mut rig = Rig::new();
    rig.bindings[0].concurrency = 1;
    rig.bind();
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(1);
    for _ in 0..50 {
        rig.compute().await;
    }
    rig.start();
    pass(5).await;
    let hers = rig.create_as(&requester("bob", &[]), compute()).await.unwrap().id;
    let before = rig.clock.now();
    rig.until(hers, State::Spawning).await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn many_orders_of_one_account_share_one_login() {
    let mut rig = Rig::new();
    for _ in 0..40 {
        rig.compute().await;
    }
    rig.start();
    pass(60).await;
    assert_eq!((rig.cloud().all_live(), rig.mapper().made()), (40, 1));
}

#[tokio::test(start_paused = true)]
async fn a_swapped_mapper_gets_new_orders_and_old_ones_keep_their_account() {
    let mut rig = Rig::started();
    let old = rig.fulfilled().await;
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(10)));
    let in_flight = rig.compute().await;
    rig.until(in_flight, State::Selected).await;
    rig.bindings[0].mapper = Accounts::new(rig.clock.clone(), "other-team");
    rig.bindings[0].mapper_digest = "two".into();
    rig.bind();
    let new = rig.fulfilled().await;
    rig.until(in_flight, State::Fulfilled).await;
    rig.crash().await;
    rig.start();
    pass(90).await;
    for (id, account) in [(old, "team"), (in_flight, "team"), (new, "other-team")] {
        assert_eq!(rig.order(id).local_account.as_deref(), Some(account));
        assert_eq!(rig.cloud().live(id)[0].account, account);
        assert_eq!(rig.order(id).state, State::Fulfilled);
        rig.delete(id).await;
    }
    for id in [old, in_flight, new] {
        rig.until(id, State::Closed).await;
    }
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_lost_its_queue_writes_nothing_more_and_takes_it_back_when_it_is_free() {
    let rig = Rig::started();
    rig.fulfilled().await;
    rig.store.steal(&"emulated".parse().unwrap(), 60_000);
    let id = rig.compute().await;
    pass(30).await;
    assert_eq!(rig.order(id).state, State::Open, "another daemon's queue");
    assert_eq!(rig.cloud().calls("request", id).len(), 0);
    rig.until(id, State::Fulfilled).await;
    assert!(rig.orders.figures().fenced >= 1);
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_queue_was_lost_is_still_written() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(2)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    rig.store.steal(&"emulated".parse().unwrap(), 60_000);
    let order = rig.until(id, State::Spawning).await;
    assert_eq!(order.instance.unwrap().id, rig.cloud().live(id)[0].id);
    rig.until(id, State::Fulfilled).await;
    assert_eq!(rig.cloud().calls("request", id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_returns_after_what_was_in_flight_is_written_and_hands_the_queue_on() {
    let mut rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    rig.stop().await;
    assert_eq!(rig.order(id).state, State::Spawning);
    rig.daemon = "another".into();
    rig.start();
    let before = rig.clock.now();
    rig.until(id, State::Fulfilled).await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(5), "the claim was handed back");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_does_not_wedge_its_order_or_its_slot() {
    let mut rig = Rig::new();
    rig.bindings[0].concurrency = 1;
    rig.bind();
    rig.start();
    let id = rig.fulfilled().await;
    rig.cloud().ledger().get_faults.push_back(Fault::Panic);
    pass(120).await;
    assert_eq!(rig.orders.figures().panics, 1);
    rig.delete(id).await;
    rig.until(id, State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_cloud_is_served_without_a_restart() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["emulated", "later"]);
    let later = rig.bindings.pop().unwrap();
    rig.bind();
    rig.start();
    rig.fulfilled().await;
    rig.bindings.push(later);
    rig.bind();
    let mut request = compute();
    request.cloud = Some("later".into());
    let id = rig.create(request).await.unwrap().id;
    rig.until(id, State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_look_at_all_settled_orders_at_once() {
    let mut rig = Rig::started();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(rig.compute().await);
    }
    for id in &ids {
        rig.until(*id, State::Fulfilled).await;
    }
    rig.crash().await;
    *rig.cloud().page.lock().unwrap() = 0;
    let before = rig.cloud().ledger().calls.len();
    rig.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(rig.cloud().ledger().calls.len() - before < 25, "they are spread over a second here");
    pass(3).await;
    assert!(rig.cloud().ledger().calls.len() - before >= 30);
}

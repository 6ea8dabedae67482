//! Exactly one instance per order, whatever ends an attempt.

use std::time::Duration;

use archipel_model::order::{OnQuota, State, WaitingFor};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::{Error, ErrorKind};

use crate::support::cloud::Fault;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn account_time_and_attempt_are_durable_before_the_cloud_is_asked() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(60)));
    let id = rig.compute().await;
    let order = rig.until(id, State::Selected).await;
    assert_eq!(rig.cloud().all_live(), 0);
    assert_eq!(
        (order.local_account.as_deref(), order.attempts, order.outcome_unknown),
        (Some("team"), 1, true)
    );
    assert!(order.requested_at.is_some());
    rig.until(id, State::Fulfilled).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_becomes_one_instance_and_is_fulfilled() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let order = rig.order(id);
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert_eq!(order.instance.as_ref().unwrap().id, rig.cloud().live(id)[0].id);
    assert_eq!(order.instance.unwrap().driver_state, "note");
    assert_eq!(rig.cloud().live(id)[0].tag, format!("archipel:site-a.example.org:{id}"));
    assert_eq!(rig.events(id)[..3], ["open", "selected", "spawning"]);
    assert_eq!(rig.events(id).last().unwrap(), "fulfilled");
    assert_eq!(rig.cloud().calls("find", id).len(), 0, "the first attempt does not search");
}

#[tokio::test(start_paused = true)]
async fn what_was_made_before_its_answer_was_lost_is_found_and_adopted() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::LoseAnswer);
    let id = rig.fulfilled().await;
    assert_eq!(rig.cloud().calls("request", id).len(), 1);
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert_eq!(rig.order(id).fault, None);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_visible_late_is_adopted_and_not_made_again() {
    let rig = Rig::started();
    *rig.cloud().visible_after.lock().unwrap() = SETTLE - Duration::from_secs(2);
    rig.cloud().ledger().request_faults.push_back(Fault::LoseAnswer);
    let id = rig.fulfilled().await;
    assert_eq!(rig.cloud().calls("request", id).len(), 1);
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_unknown_outcome_is_not_repeated_before_it_settled_and_a_search() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::LoseRequest);
    let id = rig.fulfilled().await;
    let asked = rig.cloud().calls("request", id);
    assert_eq!(asked.len(), 2);
    assert!(asked[1].since(asked[0]) >= SETTLE);
    let searched = rig.cloud().calls("find", id);
    assert!(
        searched.iter().any(|at| at.since(asked[0]) >= SETTLE && *at <= asked[1]),
        "the second attempt comes after a search that was settled"
    );
    assert!(*searched.last().unwrap() > asked[1], "and is looked for once more before it is fulfilled");
    assert_eq!(rig.order(id).attempts, 2);
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_several_the_oldest_is_adopted_and_the_others_are_deleted() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::SlowThenLost(Duration::from_secs(5)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    pass(2).await;
    let tag = rig.order(id).tag();
    rig.cloud().plant(&tag, "team");
    rig.cloud().plant(&tag, "team");
    rig.cloud().plant(&format!("{tag}0"), "team");
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!(order.instance.unwrap().id, "i-1");
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert_eq!(rig.cloud().all_live(), 2, "a tag that only begins alike is another's");
    assert_eq!(rig.events(id).iter().filter(|word| *word == "duplicate-removed").count(), 2);
    assert_eq!(rig.orders.figures().duplicates_removed, 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_a_slow_cloud_works_off_after_settling_is_removed_before_the_order_is_fulfilled() {
    let rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(20);
    rig.cloud().ledger().request_faults.push_back(Fault::LoseRequest);
    rig.cloud()
        .ledger()
        .find_faults
        .extend([Fault::Slow(Duration::ZERO), Fault::Refuse(Error::transient("busy"))]);
    let id = rig.compute().await;
    let order = rig.until(id, State::Spawning).await;
    assert_eq!(order.attempts, 2);
    rig.cloud().plant(&order.tag(), "team");
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!(order.instance.unwrap().id, "i-1");
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert_eq!(rig.events(id).iter().filter(|word| *word == "duplicate-removed").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_that_cannot_be_deleted_yet_are_not_forgotten_by_adopting() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::SlowThenLost(Duration::from_secs(5)));
    rig.cloud().ledger().delete_faults.push_back(Fault::Refuse(Error::transient("busy")));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    pass(2).await;
    rig.cloud().plant(&rig.order(id).tag(), "team");
    rig.until(id, State::Fulfilled).await;
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_transient_refusal_goes_back_to_open_and_is_tried_again_when_the_cloud_says() {
    let rig = Rig::started();
    let busy = Error::transient("come back later").retry_after(Duration::from_secs(90));
    rig.cloud()
        .ledger()
        .request_faults
        .extend([Fault::Refuse(busy), Fault::Refuse(Error::transient("still busy"))]);
    let id = rig.fulfilled().await;
    let asked = rig.cloud().calls("request", id);
    assert_eq!(asked.len(), 3);
    assert!(asked[1].since(asked[0]) >= Duration::from_secs(90));
    assert!(asked[2].since(asked[1]) < SETTLE, "what surely did nothing need not settle");
    assert_eq!(
        rig.cloud().calls_of(id)[..4],
        ["request", "find", "request", "find"],
        "every attempt but the first searches"
    );
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert!(rig.events(id).iter().filter(|word| *word == "open").count() == 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_cloud_refuses_for_good_fails_with_the_plugins_words() {
    for kind in [
        ErrorKind::Permanent,
        ErrorKind::Invalid,
        ErrorKind::Forbidden,
        ErrorKind::Unsupported,
        ErrorKind::QuotaExceeded,
    ] {
        let rig = Rig::started();
        rig.cloud().ledger().request_faults.push_back(Fault::Refuse(Error::new(kind, "no such image")));
        let id = rig.compute().await;
        let order = rig.until(id, State::FailedOnRequest).await;
        let fault = order.fault.unwrap();
        assert_eq!(
            (fault.kind, fault.message.as_str(), order.outcome_unknown),
            (kind, "no such image", false)
        );
        pass(3600).await;
        assert_eq!(rig.cloud().calls("request", id).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_quota_goes_on_when_another_is_closed() {
    let rig = Rig::started();
    let holder = rig.fulfilled().await;
    let full = Error::new(ErrorKind::QuotaExceeded, "full").retry_after(Duration::from_secs(3000));
    rig.cloud().ledger().request_faults.push_back(Fault::Refuse(full));
    let mut request = compute();
    request.on_quota = OnQuota::Wait;
    let id = rig.create(request).await.unwrap().id;
    let order = rig.until(id, State::Waiting).await;
    assert_eq!(order.waiting_for, [WaitingFor::Quota]);
    pass(120).await;
    assert_eq!(rig.order(id).state, State::Waiting);
    let before = rig.clock.now();
    rig.delete(holder).await;
    let order = rig.until(id, State::Fulfilled).await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(120));
    assert!(order.waiting_for.is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_neither_repeating_nor_searching_is_safe_the_order_stops_and_says_so() {
    let mut rig = Rig::with(CreateBehaviour::Neither, &["emulated"]);
    rig.start();
    rig.cloud().ledger().request_faults.push_back(Fault::LoseAnswer);
    let id = rig.compute().await;
    let order = rig
        .until_so(id, |order| {
            order.fault.as_ref().is_some_and(|fault| fault.code.as_deref() == Some("unknown-outcome"))
        })
        .await;
    assert_eq!(order.state, State::Selected);
    assert!(order.fault.unwrap().message.contains(&rig.order(id).tag()), "it names what to look for");
    pass(3600).await;
    assert_eq!(rig.cloud().calls("request", id).len(), 1);
    rig.delete(id).await;
    pass(3600).await;
    assert_eq!(rig.order(id).state, State::Closing, "it is not called gone either");
}

#[tokio::test(start_paused = true)]
async fn where_creates_are_idempotent_an_unknown_outcome_need_not_settle() {
    let mut rig = Rig::with(CreateBehaviour::Idempotent, &["emulated"]);
    rig.start();
    rig.cloud().ledger().request_faults.extend([Fault::LoseRequest, Fault::LoseRequest]);
    let id = rig.fulfilled().await;
    let asked = rig.cloud().calls("request", id);
    assert_eq!(asked.len(), 3);
    assert!(asked[2].since(asked[0]) < Duration::from_secs(10));
    assert_eq!(rig.cloud().live(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_only_repeating_is_possible_a_refusal_of_the_repetition_is_not_the_end() {
    let mut rig = Rig::with(CreateBehaviour::Idempotent, &["emulated"]);
    rig.start();
    let refuse = || Fault::Refuse(Error::permanent("quota is used up by the first attempt"));
    rig.cloud().ledger().request_faults.extend([Fault::LoseAnswer, refuse(), refuse()]);
    let unsearchable = || Fault::Refuse(Error::unsupported("no search"));
    rig.cloud().ledger().find_faults.extend((0..50).map(|_| unsearchable()));
    let id = rig.compute().await;
    let order = rig
        .until_so(id, |order| order.fault.as_ref().is_some_and(|fault| fault.kind == ErrorKind::Permanent))
        .await;
    assert_eq!((order.state, order.outcome_unknown), (State::Selected, true));
    rig.until(id, State::Fulfilled).await;
    assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_cloud_made_it_ends_with_that_one_instance() {
    let mut rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::SlowThenLost(Duration::from_secs(60)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    pass(1).await;
    assert_eq!(rig.cloud().live(id).len(), 1);
    rig.crash().await;
    rig.start();
    rig.until(id, State::Fulfilled).await;
    assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_cloud_heard_of_it_ends_with_one_instance_after_it_settled() {
    let mut rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(60)));
    let id = rig.compute().await;
    let asked_at = rig.until(id, State::Selected).await.requested_at.unwrap();
    rig.crash().await;
    rig.start();
    rig.until(id, State::Fulfilled).await;
    let asked = rig.cloud().calls("request", id);
    assert_eq!((rig.cloud().live(id).len(), asked.len()), (1, 2));
    assert!(asked[1].since(asked_at) >= SETTLE);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_anything_was_asked_fails_the_order() {
    let rig = Rig::started();
    *rig.mapper().away.lock().unwrap() = Some(Error::transient("down"));
    let mut request = compute();
    request.deadline = Some(rig.clock.now().plus(Duration::from_secs(60)));
    let id = rig.create(request).await.unwrap().id;
    let order = rig.until(id, State::FailedOnRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("deadline-passed"));
    assert!(rig.clock.now() >= order.deadline.unwrap());
    assert_eq!(order.requested_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_with_the_outcome_unknown_searches_first_and_leaves_nothing() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let rig = Rig::started();
        *rig.cloud().visible_after.lock().unwrap() = SETTLE - Duration::from_secs(1);
        rig.cloud().ledger().request_faults.push_back(fault);
        let mut request = compute();
        request.deadline = Some(rig.clock.now().plus(Duration::from_secs(3)));
        let id = rig.create(request).await.unwrap().id;
        let order = rig.until(id, State::FailedOnRequest).await;
        assert_eq!(order.fault.unwrap().code.as_deref(), Some("deadline-passed"));
        assert!(rig.clock.now().since(order.requested_at.unwrap()) >= SETTLE);
        pass(60).await;
        assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_spawning_fails_the_order_and_keeps_its_instance_to_be_deleted() {
    let rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(600);
    let mut request = compute();
    request.deadline = Some(rig.clock.now().plus(Duration::from_secs(60)));
    let id = rig.create(request).await.unwrap().id;
    let order = rig.until(id, State::FailedAfterRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("deadline-passed"));
    assert!(order.instance.is_some());
    rig.delete(id).await;
    rig.until(id, State::Closed).await;
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_cloud_will_not_take_is_renewed_and_the_call_made_once_more() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Refuse(Error::unauthenticated("expired")));
    let id = rig.fulfilled().await;
    assert_eq!((rig.order(id).attempts, rig.cloud().calls("request", id).len()), (1, 2));
    assert_eq!(rig.mapper().made(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_broke_the_step_is_found_again() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Panic);
    let id = rig.fulfilled().await;
    assert_eq!(rig.cloud().live(id).len(), 1);
    assert_eq!(rig.orders.figures().panics, 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_record_cannot_be_written_yet_is_written_when_the_disk_is_back() {
    use std::sync::atomic::Ordering;
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    rig.store.down.store(true, Ordering::SeqCst);
    pass(30).await;
    assert_eq!(rig.cloud().live(id).len(), 1);
    rig.store.down.store(false, Ordering::SeqCst);
    rig.until(id, State::Fulfilled).await;
    assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_patch_during_the_create_does_not_lose_its_result() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    let labels = std::collections::BTreeMap::from([("a".to_owned(), Some("b".to_owned()))]);
    rig.orders.patch(id, None, archipel_orders::OrderPatch { labels, ..Default::default() }).await.unwrap();
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!((order.labels["a"].as_str(), rig.cloud().live(id).len(), order.attempts), ("b", 1, 1));
}

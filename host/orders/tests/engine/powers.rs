//! Power actions: through the transient states, back where they are refused, and whatever is interrupted.

use std::time::Duration;

use archipel_model::order::{Scope, State, Status};
use archipel_model::power::PowerAction;
use archipel_model::site::CloudState;
use archipel_model::{Error, ErrorKind, OrderId};
use archipel_orders::WaitFor;

use crate::support::cloud::Fault;
use crate::support::*;

const TIMEOUT: Duration = Duration::from_secs(600);

/// The states since the order was fulfilled first.
fn since_fulfilled(rig: &Rig, id: OrderId) -> Vec<String> {
    rig.events(id).into_iter().skip_while(|word| word != "fulfilled").skip(1).collect()
}

fn machine(rig: &Rig, id: OrderId) -> Status {
    rig.cloud().live(id)[0].status
}

/// A machine that was led to where `action` is allowed.
async fn ready_for(rig: &Rig, action: PowerAction) -> OrderId {
    let id = rig.fulfilled().await;
    let before = match action {
        PowerAction::Resume => PowerAction::Hibernate,
        PowerAction::Start => PowerAction::Stop,
        _ => return id,
    };
    rig.act(id, before).await.unwrap();
    rig.until(id, before.leads_to()).await;
    id
}

#[tokio::test(start_paused = true)]
async fn each_action_goes_through_its_state_to_where_it_leads() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    for (action, words, status) in [
        (PowerAction::Pause, ["pausing", "paused"], Status::Paused),
        (PowerAction::Resume, ["resuming", "fulfilled"], Status::Ready),
        (PowerAction::Stop, ["stopping", "stopped"], Status::Stopped),
        (PowerAction::Start, ["resuming", "fulfilled"], Status::Ready),
        (PowerAction::Hibernate, ["hibernating", "hibernated"], Status::Hibernated),
        (PowerAction::Resume, ["resuming", "fulfilled"], Status::Ready),
    ] {
        let told = since_fulfilled(&rig, id).len();
        let asked = rig.act(id, action).await.unwrap();
        assert_eq!(Some(asked.state), action.through());
        let order = rig.orders.wait(id, WaitFor::Settled, TIMEOUT).await.unwrap();
        assert_eq!((order.state, order.power, order.fault), (action.leads_to(), None, None), "{action}");
        assert_eq!(machine(&rig, id), status);
        let states: Vec<String> =
            since_fulfilled(&rig, id).into_iter().skip(told).filter(|word| word != "updated").collect();
        assert_eq!(states, words, "{action}");
    }
    let calls = rig.cloud().calls_of(id);
    let asked: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| !matches!(*call, "request" | "get" | "find"))
        .collect();
    assert_eq!(asked, ["pause", "resume", "stop", "start", "hibernate", "resume"], "each once");
}

#[tokio::test(start_paused = true)]
async fn a_reboot_leaves_the_order_fulfilled_and_ends_when_the_machine_is_back() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let before = rig.order(id);
    let asked = rig.act(id, PowerAction::Reboot).await.unwrap();
    assert_eq!((asked.state, asked.version), (State::Fulfilled, before.version + 1));
    assert!(!asked.is_settled(), "a wait goes on");
    let busy = rig
        .until_so(id, |order| order.instance.as_ref().is_some_and(|seen| seen.status == Status::Busy))
        .await;
    assert!(busy.power.unwrap().accepted_at.is_some());
    let order = rig.orders.wait(id, WaitFor::Settled, TIMEOUT).await.unwrap();
    assert_eq!((order.state, order.power, order.fault), (State::Fulfilled, None, None));
    assert_eq!(order.instance.unwrap().status, Status::Ready);
    assert_eq!(rig.cloud().calls("reboot", id).len(), 1);
    assert!(since_fulfilled(&rig, id).iter().all(|word| word == "updated"), "no state was entered");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_refused_and_what_is_under_way_is_not_asked_twice() {
    let mut rig = Rig::started();
    let id = rig.fulfilled().await;
    let refused = rig.act(id, PowerAction::Start).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_deref()), (ErrorKind::Conflict, Some("wrong-state")));
    assert_eq!(refused.details["allowed_in"], serde_json::json!(["stopped"]));
    assert_eq!(refused.message, "the order is fulfilled; start is for orders that are stopped");
    let version = rig.order(id).version;
    let stale = rig.orders.act(id, Some(version - 1), PowerAction::Stop).await.unwrap_err();
    assert_eq!(stale.code.as_deref(), Some("precondition-failed"));
    let first = rig.orders.act(id, Some(version), PowerAction::Stop).await.unwrap();
    assert_eq!(
        rig.act(id, PowerAction::Stop).await.unwrap().power,
        first.power,
        "asked again, answered alike"
    );
    let other = rig.act(id, PowerAction::Pause).await.unwrap_err();
    assert_eq!((other.kind, other.details["state"].as_str()), (ErrorKind::Conflict, Some("stopping")));
    rig.until(id, State::Stopped).await;
    assert_eq!(rig.cloud().calls("stop", id).len(), 1);

    let disk = rig.create(volume()).await.unwrap().id;
    rig.until(disk, State::Fulfilled).await;
    assert_eq!(rig.act(disk, PowerAction::Stop).await.unwrap_err().kind, ErrorKind::Unsupported);
    rig.bindings[0].has_power = false;
    rig.bind();
    let refused = rig.act(id, PowerAction::Start).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.message.as_str()),
        (ErrorKind::Unsupported, "cloud emulated has no power actions")
    );
    let nobodys = rig.act(OrderId::generate(), PowerAction::Stop).await.unwrap_err();
    assert_eq!(nobodys.kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leads_back_with_the_clouds_words_and_the_next_action_clears_them() {
    let rig = Rig::started();
    for action in PowerAction::ALL {
        let id = ready_for(&rig, *action).await;
        let before = rig.order(id).state;
        for kind in
            [ErrorKind::Conflict, ErrorKind::Unsupported, ErrorKind::Permanent, ErrorKind::QuotaExceeded]
        {
            rig.cloud().ledger().power_faults.push_back(Fault::Refuse(Error::new(kind, "it is locked")));
            rig.act(id, *action).await.unwrap();
            let order = rig.orders.wait(id, WaitFor::Settled, TIMEOUT).await.unwrap();
            assert_eq!((order.state, order.power), (before, None), "{action} {kind}");
            let fault = order.fault.unwrap();
            assert_eq!((fault.kind, fault.message.as_str()), (kind, "it is locked"));
            assert_eq!(order.unreachable, None);
        }
        pass(120).await;
        assert!(rig.order(id).fault.is_some(), "a look that finds the machine as it was says nothing of it");
        rig.act(id, *action).await.unwrap();
        let order = rig.orders.wait(id, WaitFor::Settled, TIMEOUT).await.unwrap();
        assert_eq!((order.state, order.fault), (action.leads_to(), None), "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_asked_again_ever_more_slowly_and_is_no_outage() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    for _ in 0..5 {
        rig.cloud().ledger().power_faults.push_back(Fault::Refuse(Error::transient("a task is running")));
    }
    rig.act(id, PowerAction::Stop).await.unwrap();
    let order = rig.until(id, State::Stopped).await;
    assert_eq!((order.fault, order.unreachable), (None, None));
    assert!(!rig.events(id).contains(&"unreachable".to_owned()));
    let asked = rig.cloud().calls("stop", id);
    assert_eq!(asked.len(), 6);
    assert!(asked[1].since(asked[0]) < Duration::from_secs(1), "{asked:?}");
    assert!(asked[5].since(asked[4]) >= Duration::from_secs(4), "{asked:?}");
    let retry = Error::transient("busy").retry_after(Duration::from_secs(40));
    rig.cloud().ledger().power_faults.push_back(Fault::Refuse(retry));
    rig.act(id, PowerAction::Start).await.unwrap();
    rig.until(id, State::Fulfilled).await;
    let asked = rig.cloud().calls("start", id);
    assert!(asked[1].since(asked[0]) >= Duration::from_secs(40), "the cloud says when");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_leads_back_and_a_later_look_finds_it_so() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.cloud().ledger().power_faults.push_back(Fault::Ignore);
    rig.act(id, PowerAction::Stop).await.unwrap();
    let begun = rig.clock.now();
    let order = rig.until_so(id, |order| order.power.is_none()).await;
    assert_eq!(
        (order.state, order.fault.unwrap().code.as_deref()),
        (State::Fulfilled, Some("power-timed-out"))
    );
    let took = rig.clock.now().since(begun);
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_secs(2), "{took:?}");
    assert_eq!(rig.cloud().calls("stop", id).len(), 1, "accepted once is not asked again");
    let instance = order.instance.unwrap().id;
    rig.cloud().set_status(&instance, Status::Stopped);
    let order = rig.until(id, State::Stopped).await;
    assert_eq!(order.fault, None, "the cloud did it after all");

    *rig.cloud().power_takes.lock().unwrap() = Duration::from_secs(900);
    rig.act(id, PowerAction::Start).await.unwrap();
    let order = rig.until_so(id, |order| order.power.is_none()).await;
    assert_eq!(
        (order.state, order.fault.unwrap().code.as_deref()),
        (State::Stopped, Some("power-timed-out"))
    );
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!(order.fault, None);

    rig.cloud().ledger().power_faults.push_back(Fault::Ignore);
    rig.act(id, PowerAction::Hibernate).await.unwrap();
    rig.until_so(id, |order| order.fault.is_some()).await;
    rig.cloud().set_status(&instance, Status::Hibernated);
    let order = rig.until(id, State::Hibernated).await;
    assert_eq!(order.fault, None);
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_action_and_a_long_one_gives_it_up() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.cloud().ledger().away = Some(Error::transient("down"));
    rig.act(id, PowerAction::Pause).await.unwrap();
    let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
    assert_eq!((order.state, order.unreachable.unwrap().scope), (State::Pausing, Scope::Cloud));
    pass(300).await;
    assert_eq!(rig.order(id).state, State::Pausing);
    rig.cloud().ledger().away = None;
    let order = rig.until(id, State::Paused).await;
    assert_eq!((order.unreachable, order.fault), (None, None));

    rig.cloud().ledger().away = Some(Error::transient("down"));
    rig.act(id, PowerAction::Resume).await.unwrap();
    pass(700).await;
    let order = rig.order(id);
    assert_eq!((order.state, order.power), (State::Paused, None));
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("power-timed-out"));
    assert!(order.unreachable.is_some());
    rig.cloud().ledger().away = None;
    let order = rig.until_so(id, |order| order.unreachable.is_none()).await;
    assert_eq!(
        (order.state, rig.cloud().calls("resume", id).len()),
        (State::Paused, 0),
        "given up is given up"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_in_an_action_is_followed_by_its_end() {
    for action in PowerAction::ALL {
        // Before the cloud is asked, while it is asked, after it did it and nobody heard, and while it works on it.
        for (fault, after) in [
            (None, Duration::ZERO),
            (Some(Fault::Slow(Duration::from_secs(5))), Duration::from_secs(1)),
            (Some(Fault::SlowThenLost(Duration::from_secs(30))), Duration::from_secs(3)),
            (None, Duration::from_millis(500)),
        ] {
            let mut rig = Rig::started();
            let id = ready_for(&rig, *action).await;
            rig.cloud().ledger().power_faults.extend(fault.clone());
            rig.act(id, *action).await.unwrap();
            tokio::time::sleep(after).await;
            rig.crash().await;
            let left = rig.order(id);
            assert_eq!(left.power.map(|power| power.action), Some(*action), "asked is durable");
            rig.start();
            let order = rig.orders.wait(id, WaitFor::Settled, TIMEOUT).await.unwrap();
            assert_eq!((order.state, order.fault), (action.leads_to(), None), "{action} {fault:?} {after:?}");
            assert!(rig.cloud().calls(action.as_str(), id).len() <= 2, "{action} {fault:?}");
            assert_eq!(rig.cloud().live(id).len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_before_a_crash_is_looked_up_and_not_asked_for_again() {
    for action in PowerAction::ALL.iter().filter(|action| **action != PowerAction::Reboot) {
        let mut rig = Rig::started();
        let id = ready_for(&rig, *action).await;
        rig.cloud().ledger().power_faults.push_back(Fault::SlowThenLost(Duration::from_secs(30)));
        rig.act(id, *action).await.unwrap();
        pass(10).await;
        rig.crash().await;
        rig.start();
        rig.until(id, action.leads_to()).await;
        assert_eq!(rig.cloud().calls(action.as_str(), id).len(), 1, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reboot_whose_answer_was_lost_is_not_repeated_where_the_machine_is_seen_to_go_down() {
    let rig = Rig::started();
    *rig.cloud().power_takes.lock().unwrap() = Duration::from_secs(60);
    let id = rig.fulfilled().await;
    rig.cloud().ledger().power_faults.push_back(Fault::LoseAnswer);
    rig.act(id, PowerAction::Reboot).await.unwrap();
    let order = rig.until_so(id, |order| order.power.is_none()).await;
    assert_eq!((order.state, order.fault), (State::Fulfilled, None));
    assert_eq!(rig.cloud().calls("reboot", id).len(), 1);
    // One that never arrived is.
    rig.cloud().ledger().power_faults.push_back(Fault::LoseRequest);
    rig.act(id, PowerAction::Reboot).await.unwrap();
    rig.until_so(id, |order| order.power.is_none()).await;
    assert_eq!(rig.cloud().calls("reboot", id).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_poll_finds_on_the_way_is_followed() {
    let rig = Rig::started();
    *rig.cloud().power_takes.lock().unwrap() = Duration::from_secs(60);
    for (action, found, state) in [
        (PowerAction::Pause, Status::Stopped, State::Stopped),
        (PowerAction::Stop, Status::Hibernated, State::Hibernated),
        (PowerAction::Hibernate, Status::Paused, State::Paused),
        (PowerAction::Resume, Status::Stopped, State::Stopped),
        (PowerAction::Start, Status::Paused, State::Paused),
        (PowerAction::Reboot, Status::Stopped, State::Stopped),
    ] {
        let id = ready_for(&rig, action).await;
        rig.act(id, action).await.unwrap();
        rig.until_so(id, |order| {
            order.instance.as_ref().is_some_and(|instance| instance.status == Status::Busy)
        })
        .await;
        rig.cloud().set_status(&rig.cloud().live(id)[0].id, found);
        let order = rig.until(id, state).await;
        assert_eq!((order.power, order.fault), (None, None), "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_breaks_or_vanishes_on_the_way_fails_its_order() {
    let rig = Rig::started();
    *rig.cloud().power_takes.lock().unwrap() = Duration::from_secs(60);
    let broken = rig.fulfilled().await;
    rig.act(broken, PowerAction::Stop).await.unwrap();
    pass(2).await;
    rig.cloud().set_status(&rig.cloud().live(broken)[0].id, Status::Failed);
    let order = rig.until(broken, State::FailedAfterRequest).await;
    assert_eq!((order.power, order.fault.unwrap().code.as_deref()), (None, Some("instance-failed")));

    let gone = rig.fulfilled().await;
    pass(30).await;
    rig.act(gone, PowerAction::Hibernate).await.unwrap();
    pass(2).await;
    rig.cloud().destroy(&rig.cloud().live(gone)[0].id);
    let order = rig.until(gone, State::FailedAfterRequest).await;
    assert_eq!((order.power, order.fault.unwrap().code.as_deref()), (None, Some("instance-gone")));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_deleted_in_any_power_state_and_on_the_way() {
    let rig = Rig::started();
    for action in PowerAction::ALL {
        for wait in [0, 1, 30] {
            let id = ready_for(&rig, *action).await;
            rig.act(id, *action).await.unwrap();
            pass(wait).await;
            rig.delete(id).await;
            let order = rig.until(id, State::Closed).await;
            assert_eq!((order.power, order.fault), (None, None), "{action} {wait}");
            assert_eq!(rig.cloud().live(id).len(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_rests_on_a_machine_waits_while_it_stops_and_goes_on_when_it_has() {
    let rig = Rig::started();
    *rig.cloud().power_takes.lock().unwrap() = Duration::from_secs(40);
    let machine = rig.fulfilled().await;
    let disk = rig.create(volume()).await.unwrap().id;
    rig.until(disk, State::Fulfilled).await;
    rig.act(machine, PowerAction::Stop).await.unwrap();
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Waiting).await;
    rig.until(machine, State::Stopped).await;
    let stopped = rig.clock.now();
    rig.until(link, State::Spawning).await;
    assert!(rig.clock.now().since(stopped) < Duration::from_secs(1), "its event woke it");
    rig.until(link, State::Fulfilled).await;

    rig.act(machine, PowerAction::Start).await.unwrap();
    rig.until(machine, State::Fulfilled).await;
    rig.act(machine, PowerAction::Reboot).await.unwrap();
    let other = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, other)).await.unwrap().id;
    rig.until(link, State::Fulfilled).await;
    assert!(rig.order(machine).power.is_some(), "a reboot keeps nobody waiting");
}

#[tokio::test(start_paused = true)]
async fn maintenance_and_another_daemon_do_not_lose_an_action() {
    let mut rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.bindings[0].state = CloudState::Maintenance;
    rig.bind();
    rig.act(id, PowerAction::Stop).await.unwrap();
    rig.until(id, State::Stopped).await;

    rig.cloud().ledger().power_faults.push_back(Fault::Slow(Duration::from_secs(3)));
    rig.act(id, PowerAction::Start).await.unwrap();
    pass(1).await;
    rig.store.steal(&"emulated".parse().unwrap(), 20_000);
    let order = rig.until(id, State::Fulfilled).await;
    assert_eq!(
        (order.fault, rig.cloud().calls("start", id).len()),
        (None, 1),
        "accepted is written without the claim"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_labels_in_the_middle_does_not_ask_for_a_second_reboot() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.cloud().ledger().power_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    rig.act(id, PowerAction::Reboot).await.unwrap();
    pass(2).await;
    let labels = std::collections::BTreeMap::from([("a".to_owned(), Some("b".to_owned()))]);
    rig.orders.patch(id, None, archipel_orders::OrderPatch { labels, ..Default::default() }).await.unwrap();
    let order = rig.until_so(id, |order| order.power.is_none()).await;
    assert_eq!((order.labels["a"].as_str(), rig.cloud().calls("reboot", id).len()), ("b", 1));
}

#[tokio::test(start_paused = true)]
async fn a_look_on_request_sees_an_action_end_and_asks_for_none() {
    let mut rig = Rig::started();
    let id = rig.fulfilled().await;
    rig.stop().await;
    rig.act(id, PowerAction::Pause).await.unwrap();
    let order = rig.orders.refresh(id).await.unwrap();
    assert_eq!((order.state, rig.cloud().calls("pause", id).len()), (State::Pausing, 0));
    rig.cloud().set_status(&rig.cloud().live(id)[0].id, Status::Paused);
    let order = rig.orders.refresh(id).await.unwrap();
    assert_eq!((order.state, order.power), (State::Paused, None));
}

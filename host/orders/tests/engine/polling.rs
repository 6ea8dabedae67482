//! Many looks by one list, which can only say: as before.

use std::time::Duration;

use archipel_model::order::{Scope, State, Status};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::{Error, OrderId};

use crate::support::cloud::Fault;
use crate::support::*;

/// So many fulfilled computes of one account, quiet for a while.
async fn many(rig: &Rig, many: usize) -> Vec<OrderId> {
    let mut ids = Vec::new();
    for _ in 0..many {
        ids.push(rig.compute().await);
    }
    for id in &ids {
        rig.until(*id, State::Fulfilled).await;
    }
    pass(120).await;
    ids
}

fn instance(rig: &Rig, id: OrderId) -> String {
    rig.order(id).instance.unwrap().id
}

#[tokio::test(start_paused = true)]
async fn many_instances_of_an_account_cost_one_list_a_period_and_no_write() {
    let rig = Rig::started();
    let ids = many(&rig, 250).await;
    let (gets, lists, writes) = (rig.cloud().count("get"), rig.cloud().count("list"), rig.store.writes());
    pass(3600).await;
    let (gets, lists) = (rig.cloud().count("get") - gets, rig.cloud().count("list") - lists);
    assert_eq!((gets, rig.store.writes()), (0, writes));
    assert!((120 * 3..=140 * 3).contains(&lists), "{lists} pages in an hour: three each 27 s to 30 s");
    let polls = rig.orders.figures().queues[&"emulated".parse().unwrap()].polls;
    assert!(polls.lists > 100 && polls.spared > 25_000, "{polls:?}");
    assert!(ids.iter().all(|id| rig.order(*id).state == State::Fulfilled));
}

#[tokio::test(start_paused = true)]
async fn few_instances_are_looked_at_one_by_one() {
    let rig = Rig::started();
    many(&rig, 5).await;
    pass(600).await;
    assert_eq!(rig.cloud().count("list"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_list_shows_otherwise_is_believed_after_its_own_look_alone() {
    let rig = Rig::started();
    let ids = many(&rig, 30).await;
    let (stopped, stale, failed) = (ids[0], ids[1], ids[2]);
    rig.cloud().set_status(&instance(&rig, stopped), Status::Stopped);
    rig.cloud().ledger().stale.insert(instance(&rig, stale), Status::Failed);
    rig.cloud().set_status(&instance(&rig, failed), Status::Failed);
    rig.until(stopped, State::Stopped).await;
    rig.until(failed, State::FailedAfterRequest).await;
    let version = rig.order(stale).version;
    pass(600).await;
    assert_eq!((rig.order(stale).state, rig.order(stale).version), (State::Fulfilled, version));
    assert!(rig.cloud().calls("get", stale).len() > 15, "it is looked at whenever a list shows it so");
    assert!(rig.cloud().count("list") > 15, "and the others are not");
    assert!(rig.cloud().calls("get", ids[3]).len() < 12);
}

#[tokio::test(start_paused = true)]
async fn what_a_list_does_not_show_is_not_gone_until_looks_say_so_twice() {
    let rig = Rig::started();
    let ids = many(&rig, 30).await;
    let (hidden, gone) = (ids[0], ids[1]);
    rig.cloud().ledger().unlisted.insert(instance(&rig, hidden));
    let looks = rig.cloud().calls("get", gone).len();
    rig.cloud().destroy(&instance(&rig, gone));
    let order = rig.until(gone, State::FailedAfterRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("instance-gone"));
    let looks = rig.cloud().calls("get", gone)[looks..].to_vec();
    assert!(looks.len() >= 2 && looks.last().unwrap().since(looks[0]) >= SETTLE, "{looks:?}");
    pass(3600).await;
    assert_eq!(rig.order(hidden).state, State::Fulfilled);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_visible_late_is_not_called_gone_by_a_list() {
    let mut rig = Rig::new();
    *rig.cloud().visible_after.lock().unwrap() = SETTLE - Duration::from_secs(2);
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(60);
    rig.start();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(rig.compute().await);
    }
    for id in ids {
        rig.until(id, State::Fulfilled).await;
        assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 1));
        let words = rig.events(id);
        assert_eq!(words[..3], ["open", "selected", "spawning"]);
        assert_eq!(words.last().unwrap(), "fulfilled");
    }
}

#[tokio::test(start_paused = true)]
async fn instances_that_are_being_made_are_polled_by_lists_and_each_is_looked_at_now_and_then() {
    let rig = Rig::started();
    *rig.cloud().ready_after.lock().unwrap() = Duration::from_secs(300);
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(rig.compute().await);
    }
    pass(290).await;
    let looks: Vec<usize> = ids.iter().map(|id| rig.cloud().calls("get", *id).len()).collect();
    assert!(looks.iter().all(|looks| (2..=10).contains(looks)), "{looks:?}");
    for id in ids {
        rig.until(id, State::Fulfilled).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_without_a_list_or_whose_list_fails_is_asked_one_by_one() {
    for broken in [true, false] {
        let rig = Rig::started();
        match broken {
            true => {
                let lost = (0..100_000).map(|_| Fault::Refuse(Error::permanent("no such method")));
                rig.cloud().ledger().list_faults.extend(lost);
            }
            false => *rig.cloud().page.lock().unwrap() = 0,
        }
        let ids = many(&rig, 40).await;
        rig.cloud().set_status(&instance(&rig, ids[7]), Status::Paused);
        rig.until(ids[7], State::Paused).await;
        let (gets, lists) = (rig.cloud().count("get"), rig.cloud().count("list"));
        pass(1800).await;
        let (gets, lists) = (rig.cloud().count("get") - gets, rig.cloud().count("list") - lists);
        assert!((40 * 50..=40 * 75).contains(&gets), "{gets} looks in half an hour at a period of 30 s");
        assert!(lists <= if broken { 70 } else { 4 }, "{lists} lists that gave nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_mostly_shows_something_else_is_given_up_for_a_while() {
    let rig = Rig::started();
    let ids = many(&rig, 40).await;
    for id in &ids {
        let instance = instance(&rig, *id);
        rig.cloud().ledger().stale.insert(instance, Status::Busy);
    }
    pass(120).await;
    let lists = rig.cloud().count("list");
    pass(1800).await;
    let lists = rig.cloud().count("list") - lists;
    assert!(lists <= 8, "{lists} lists in half an hour");
    assert!(ids.iter().all(|id| rig.order(*id).state == State::Fulfilled));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_deleted_while_a_long_list_runs_does_not_wait_for_it() {
    let rig = Rig::started();
    let ids = many(&rig, 60).await;
    *rig.cloud().page.lock().unwrap() = 5;
    let lists = rig.cloud().count("list");
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(3);
    while rig.cloud().count("list") == lists {
        pass(1).await;
    }
    let before = rig.clock.now();
    rig.delete(ids[59]).await;
    rig.until_so(ids[59], |order| {
        order.closing.as_ref().is_some_and(|closing| closing.accepted_at.is_some())
    })
    .await;
    assert!(rig.clock.now().since(before) < Duration::from_secs(8), "twelve pages take 36 s");
}

#[tokio::test(start_paused = true)]
async fn other_sites_instances_in_the_same_list_are_nobodys_here() {
    let rig = Rig::started();
    let ids = many(&rig, 20).await;
    for id in &ids {
        rig.cloud().plant(&format!("archipel:site-b.example.org:{id}"), "team");
        rig.cloud().plant(&format!("archipel:{}:not-an-order", here()), "team");
    }
    let writes = rig.store.writes();
    pass(600).await;
    assert_eq!(rig.store.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_seen_by_every_order_and_its_end_too() {
    let rig = Rig::started();
    let ids = many(&rig, 40).await;
    rig.cloud().ledger().away = Some(Error::transient("down"));
    for id in &ids {
        let order = rig.until_so(*id, |order| order.unreachable.is_some()).await;
        assert_eq!(order.unreachable.unwrap().scope, Scope::Cloud);
    }
    rig.cloud().ledger().away = None;
    for id in &ids {
        rig.until_so(*id, |order| order.unreachable.is_none()).await;
    }
    let lists = rig.cloud().count("list");
    pass(300).await;
    assert!(rig.cloud().count("list") > lists, "lists are asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_starts_polls_by_lists_at_once_and_a_second_cloud_that_hangs_does_not_matter() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["hangs", "emulated"]);
    rig.start();
    let mut ids = Vec::new();
    for cloud in ["hangs", "emulated"] {
        for _ in 0..50 {
            let mut request = compute();
            request.cloud = Some(cloud.into());
            ids.push(rig.create(request).await.unwrap().id);
        }
    }
    for id in &ids {
        rig.until(*id, State::Fulfilled).await;
    }
    rig.crash().await;
    *rig.bindings[0].cloud.call_takes.lock().unwrap() = Duration::from_secs(3600);
    let gets = rig.bindings[1].cloud.count("get");
    rig.start();
    pass(600).await;
    let cloud = &rig.bindings[1].cloud;
    assert_eq!(cloud.count("get"), gets, "not one look of its own");
    let polls = rig.orders.figures().queues[&"emulated".parse().unwrap()].polls;
    assert!(polls.spared >= 50 * 19, "{polls:?}");
}

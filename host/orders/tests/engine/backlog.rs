//! Back-pressure and fairness: a cloud that falls behind is not given ever more, and one user's flood is his own.

use std::time::Duration;

use archipel_model::order::State;
use archipel_model::plugin::CreateBehaviour;
use archipel_model::site::CloudState;
use archipel_model::{Error, ErrorKind};
use archipel_orders::Settings;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_user_with_a_thousand_orders_does_not_delay_anothers_one() {
    let mut rig = Rig::new();
    rig.bindings[0].concurrency = 4;
    rig.bind();
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(1);
    for _ in 0..1000 {
        rig.compute().await;
    }
    rig.start();
    pass(20).await;
    let before = rig.clock.now();
    let hers = rig.create_as(&requester("bob", &[]), compute()).await.unwrap().id;
    rig.until(hers, State::Spawning).await;
    let alone = Duration::from_secs(1);
    let took = rig.clock.now().since(before);
    assert!(took <= 3 * alone, "{took:?}, where a free cloud takes {alone:?}");
    rig.until(hers, State::Fulfilled).await;
    let waiting = rig.store.all().iter().filter(|order| order.requested_at.is_none()).count();
    assert!(waiting > 800, "{waiting} of the thousand are not even asked for");
}

#[tokio::test(start_paused = true)]
async fn a_users_own_polls_do_not_keep_his_new_order_waiting() {
    let mut rig = Rig::new();
    rig.start();
    let mut ids = Vec::new();
    for _ in 0..400 {
        ids.push(rig.compute().await);
    }
    for id in &ids {
        rig.until(*id, State::Fulfilled).await;
    }
    rig.crash().await;
    rig.bindings[0].concurrency = 2;
    rig.bind();
    *rig.cloud().page.lock().unwrap() = 0;
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(1);
    rig.start();
    pass(5).await;
    let before = rig.clock.now();
    let id = rig.compute().await;
    rig.until(id, State::Spawning).await;
    let took = rig.clock.now().since(before);
    assert!(took < Duration::from_secs(6), "{took:?}, where 400 looks take 200 s");
}

#[tokio::test(start_paused = true)]
async fn a_cloud_with_too_many_orders_that_wait_takes_no_more_until_it_has_caught_up() {
    let mut rig = Rig::with(CreateBehaviour::Searchable, &["emulated", "other"]);
    rig.settings = Settings { backlog_most: 20, ..rig.settings };
    rig.bindings[0].concurrency = 2;
    rig.bind();
    *rig.cloud().call_takes.lock().unwrap() = Duration::from_secs(2);
    rig.start();
    pass(1).await;
    let mut accepted = 0;
    let refused: Error = loop {
        match rig.create(compute()).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!((20..=26).contains(&accepted), "{accepted}");
    assert_eq!(refused.kind, ErrorKind::Transient);
    assert!(
        refused.has_code("cloud-backlog") && refused.retry_after == Some(Duration::from_secs(10)),
        "{refused:?}"
    );
    let mut elsewhere = compute();
    elsewhere.cloud = Some("other".into());
    rig.create(elsewhere).await.unwrap();
    pass(10).await;
    rig.create(compute()).await.unwrap();
    pass(120).await;
    assert_eq!(rig.orders.figures().queues[&"emulated".parse().unwrap()].unasked, 0);
    assert_eq!(rig.store.all().iter().filter(|order| order.state == State::Fulfilled).count(), accepted + 2);
}

#[tokio::test(start_paused = true)]
async fn the_backlog_is_known_after_a_restart_and_what_waits_for_the_end_of_maintenance_is_in_it() {
    let mut rig = Rig::new();
    rig.settings = Settings { backlog_most: 10, ..rig.settings };
    rig.bindings[0].state = CloudState::Maintenance;
    rig.bind();
    rig.start();
    for _ in 0..10 {
        rig.compute().await;
        pass(1).await;
    }
    assert!(rig.create(compute()).await.unwrap_err().has_code("cloud-backlog"));
    rig.crash().await;
    rig.start();
    pass(3).await;
    assert!(rig.create(compute()).await.unwrap_err().has_code("cloud-backlog"));
    let one = rig.store.all()[0].id;
    rig.delete(one).await;
    pass(3).await;
    let last = rig.create(compute()).await.unwrap().id;
    rig.bindings[0].state = CloudState::Active;
    rig.bind();
    rig.until(last, State::Fulfilled).await;
    rig.create(compute()).await.unwrap();
}

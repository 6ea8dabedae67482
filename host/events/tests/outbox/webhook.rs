//! Webhooks: what arrives, and what a receiver's faults do.

use std::time::Duration;

use archipel_model::order::State;
use archipel_model::publisher::{PublisherAdmin, PublisherState, ReplayFrom};
use archipel_model::{Clock, SystemClock, Timestamp};
use serde_json::json;

use crate::receiver::{Answer, Receiver};
use crate::site::{Site, assert_all_in_order};

fn webhook(name: &str, receiver: &Receiver, more: &str) -> String {
    format!(
        "[[webhook]]\nname = \"{name}\"\nurl = \"{}\"\nsecrets = [\"hook\"]\nprivate = true\n{more}\n",
        receiver.url
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_signed_whatever_the_receiver_answers_at_first() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    receiver.answers(|_, number| match number {
        3 | 8 => Answer::Status(500),
        5 => Answer::Status(400),
        12 => Answer::Status(429),
        15 => Answer::Status(302),
        _ => Answer::Status(200),
    });
    let running = site.publish(&webhook("hook", &receiver, "")).await;
    site.orders(15).await;
    let status = running.when_sent("hook", &site).await;
    assert_all_in_order(&site.logged().await, &receiver.taken());
    assert_eq!((status.sent, status.failures, status.state), (45, 5, PublisherState::Sending));
    for request in receiver.requests() {
        assert!(request.is_signed());
        assert_eq!(request.header("content-type"), "application/cloudevents+json");
        let event = request.event();
        assert_eq!(event["id"], request.header("webhook-id"));
        assert_eq!((&event["specversion"], &event["source"]), (&json!("1.0"), &json!("site-a.example.org")));
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_binary_mode_attributes_are_headers() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let running = site.publish(&webhook("hook", &receiver, "mode = \"binary\"")).await;
    let order = site.order("east").await;
    running.when_sent("hook", &site).await;
    let request = receiver.requests().remove(0);
    assert!(request.is_signed());
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("ce-type"), "org.archipel.order.open.v1");
    assert_eq!(request.header("ce-subject"), order.id.to_string());
    assert_eq!(request.header("ce-id"), request.header("webhook-id"));
    assert!(Timestamp::parse(request.header("ce-time")).is_some());
    assert_eq!(request.event(), json!({"state": "open", "version": 1, "cloud": "east", "kind": "volume"}));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_holds_nobody_else_up() {
    let (site, dead, well) = (Site::new().await, Receiver::start().await, Receiver::start().await);
    dead.answers(|_, _| Answer::Stall);
    let config = webhook("dead", &dead, "timeout_s = 1") + &webhook("well", &well, "");
    let running = site.publish(&config).await;
    site.orders(20).await;
    running.when_sent("well", &site).await;
    assert_all_in_order(&site.logged().await, &well.taken());
    let status = running.when("dead", |status| status.failures > 0).await;
    assert_eq!((status.sent, status.state), (0, PublisherState::Waiting));
    assert!(status.behind_since.is_some());
    assert!(status.last_error.unwrap().contains("the deadline passed"));
    dead.answers(|_, _| Answer::Status(200));
    running.when_sent("dead", &site).await;
    assert_all_in_order(&site.logged().await, &dead.taken());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_holds_up_its_own_order_alone() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let mut bad = site.order("east").await;
    let subject = bad.id.to_string();
    receiver.answers(move |event, _| {
        Answer::Status(if event["subject"] == subject && event["type"] == "org.archipel.order.open.v1" {
            422
        } else {
            200
        })
    });
    let running = site.publish(&webhook("hook", &receiver, "begin = \"oldest\"")).await;
    site.go(&mut bad, State::Selected).await;
    site.orders(10).await;
    let status = running.when("hook", |status| status.sent == 30 && status.failures > 1).await;
    assert_eq!((status.waiting, status.state), (2, PublisherState::Sending));
    assert!(status.last_error.unwrap().contains("answered 422"));
    assert!(receiver.taken().iter().all(|(_, subject)| *subject != bad.id.to_string()));
    receiver.answers(|_, _| Answer::Status(200));
    running.when_sent("hook", &site).await;
    assert_all_in_order(&site.logged().await, &receiver.taken());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_too_long_is_given_up_where_the_site_says_so() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let mut bad = site.order("east").await;
    receiver.answers(|event, _| {
        Answer::Status(if event["type"] == "org.archipel.order.open.v1" { 400 } else { 200 })
    });
    let running = site.publish(&webhook("hook", &receiver, "begin = \"oldest\"\ngive_up_s = 1")).await;
    site.go(&mut bad, State::Selected).await;
    let status = running.when_sent("hook", &site).await;
    assert_eq!((status.given_up, status.sent, status.last_error), (1, 1, None));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_kept_by_all() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    receiver.answers(|_, number| match number {
        0 => Answer::With(503, "retry-after", "2".to_owned()),
        _ => Answer::Status(200),
    });
    let running = site.publish(&webhook("hook", &receiver, "concurrency = 1")).await;
    site.orders(3).await;
    running.when_sent("hook", &site).await;
    let requests = receiver.requests();
    let waited = requests[1].at - requests[0].at;
    assert!((Duration::from_millis(1950)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
    assert_all_in_order(&site.logged().await, &receiver.taken());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_410_is_left_alone_until_an_administrator_replays() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    receiver.answers(|_, _| Answer::Status(410));
    let running = site.publish(&webhook("hook", &receiver, "concurrency = 1")).await;
    site.orders(2).await;
    running.when("hook", |status| status.state == PublisherState::Gone).await;
    site.orders(2).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(receiver.requests().len(), 1);
    receiver.answers(|_, _| Answer::Status(200));
    running.publishers.replay("hook", ReplayFrom::Here).await.unwrap();
    running.when_sent("hook", &site).await;
    assert_all_in_order(&site.logged().await, &receiver.taken());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_nowhere() {
    let (site, receiver, other) = (Site::new().await, Receiver::start().await, Receiver::start().await);
    let to = other.url.clone();
    receiver.answers(move |_, _| Answer::With(307, "location", to.clone()));
    let running = site.publish(&webhook("hook", &receiver, "")).await;
    site.order("east").await;
    let status = running.when("hook", |status| status.failures > 0).await;
    assert!(
        status
            .last_error
            .unwrap()
            .ends_with("answered 307; redirects are not followed: set url to where it leads")
    );
    assert!(other.requests().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_the_site_says_otherwise() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let config = webhook("hook", &receiver, "").replace("private = true", "");
    let running = site.publish(&config).await;
    site.order("east").await;
    let status = running.when("hook", |status| status.failures > 0).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("a loopback address") && error.contains("private = [\"127.0.0.1\"]"), "{error}");
    assert!(receiver.requests().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_publisher_begins_now_and_a_known_one_where_it_stopped() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let mut early = site.order("east").await;
    let before = site.logged().await;
    let config = webhook("hook", &receiver, "");
    let running = site.publish(&config).await;
    site.go(&mut early, State::Selected).await;
    running.when_sent("hook", &site).await;
    running.stop().await;
    assert_eq!(receiver.taken().len(), 1);
    site.go(&mut early, State::Fulfilled).await;
    site.orders(5).await;
    let running = site.publish(&config).await;
    running.when_sent("hook", &site).await;
    let all = site.logged().await;
    assert_eq!(receiver.taken().len(), all.len() - before.len(), "nothing twice after an orderly stop");
    assert_all_in_order(&all[before.len()..], &receiver.taken());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_were_forgotten_before_they_were_sent_are_told_by_a_reset() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    receiver.answers(|_, _| Answer::Status(503));
    let config = webhook("hook", &receiver, "types = [\"org.archipel.order.open.v1\"]\nclouds = [\"east\"]");
    let running = site.publish(&config).await;
    site.orders(3).await;
    running.when("hook", |status| status.failures > 0).await;
    running.stop().await;
    let (never, soon) = (Timestamp::from_millis(0), SystemClock.now().plus(Duration::from_secs(60)));
    assert_eq!(site.store.orders().forget_before(never, soon, never, 100).await.unwrap(), 9);
    site.orders(1).await;
    receiver.answers(|_, _| Answer::Status(200));
    let running = site.publish(&config).await;
    let status = running.when_sent("hook", &site).await;
    assert_eq!(status.resets, 1);
    let taken: Vec<_> = receiver
        .requests()
        .into_iter()
        .filter(|request| request.status == 200)
        .map(|request| request.event())
        .collect();
    let mut kinds: Vec<_> = taken.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["org.archipel.order.open.v1", "org.archipel.stream.reset.v1"]);
    running.stop().await;
    let running = site.publish(&config).await;
    running.when_sent("hook", &site).await;
    assert_eq!(running.status("hook").resets, 0, "told once");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_again_from_a_time_from_the_oldest_or_not_at_all() {
    let (site, receiver) = (Site::new().await, Receiver::start().await);
    let running = site.publish(&webhook("hook", &receiver, "")).await;
    site.orders(2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = SystemClock.now();
    site.orders(3).await;
    running.when_sent("hook", &site).await;
    assert_eq!(receiver.taken().len(), 15);
    running.publishers.replay("hook", ReplayFrom::Time(between)).await.unwrap();
    running.when("hook", |status| status.sent == 24).await;
    running.publishers.replay("hook", ReplayFrom::Oldest).await.unwrap();
    running.when("hook", |status| status.sent == 39).await;
    running.publishers.replay("hook", ReplayFrom::Now).await.unwrap();
    running.when_sent("hook", &site).await;
    assert_eq!(receiver.taken().len(), 39);
    assert_all_in_order(&site.logged().await, &receiver.taken());
    assert!(running.publishers.replay("other", ReplayFrom::Now).await.is_err());
    running.stop().await;
}

//! Faults as a host meets them.

use super::fake::{Desk, FakeWorld, config};
use crate::naming::Kind;
use archipel_sdk::cloud::Status;
use archipel_sdk::{Applied, ErrorKind};

const CIRROS: &str = r#"{"name": "web", "image": "@cirros"}"#;

#[test]
fn a_lost_answer_leaves_an_instance_that_a_search_finds() {
    let world = FakeWorld::new();
    let config = config(r#"{"faults": [{"mode": "answer-lost", "first": 1}]}"#);
    let desk = Desk::of(&world, &config, "a");
    let error = desk.compute("o", CIRROS).unwrap_err();
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::Unknown));
    assert_eq!(desk.find(Kind::Compute, "o").unwrap().len(), 1);
    desk.attempt(2).compute("o", CIRROS).unwrap();
    assert_eq!(desk.find(Kind::Compute, "o").unwrap().len(), 2);
}

#[test]
fn a_refusal_leaves_nothing() {
    let world = FakeWorld::new();
    let config = config(r#"{"faults": [{"mode": "transient"}]}"#);
    let desk = Desk::of(&world, &config, "a");
    let error = desk.compute("o", CIRROS).unwrap_err();
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::No));
    assert!(world.state().map.is_empty());
}

#[test]
fn a_failed_boot_is_a_failed_instance_that_still_counts() {
    let world = FakeWorld::new();
    let config = config(
        r#"{"boot_ms": 100, "faults": [{"mode": "boot-fails", "names": ["web"], "message": "no host"}]}"#,
    );
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    assert_eq!(desk.get(Kind::Compute, &id).unwrap().unwrap().status, Status::Creating);
    world.pass(200);
    let failed = desk.get(Kind::Compute, &id).unwrap().unwrap();
    assert_eq!((failed.status, failed.fault.as_deref()), (Status::Failed, Some("no host")));
    assert_eq!(desk.used("instances"), 1);
}

#[test]
fn every_call_takes_its_latency_and_a_hanging_one_its_deadline() {
    let world = FakeWorld::new();
    let config = config(
        r#"{"latency_ms": 30, "hang_ms": 900, "faults": [
            {"mode": "answer-lost", "hang": true}, {"operation": "find", "mode": "transient", "hang": true}]}"#,
    );
    let desk = Desk::of(&world, &config, "a");
    desk.cloud.list(Kind::Volume, None).unwrap();
    assert_eq!(world.state().slept, 30);
    desk.volume("o", 1).unwrap_err();
    assert_eq!(world.state().slept, 30 + 30 + 7000);
    desk.find(Kind::Volume, "o").unwrap_err();
    assert_eq!(world.state().slept, 30 + 30 + 7000 + 30 + 900);
}

#[test]
fn the_first_calls_about_an_order_are_counted_across_instances_of_the_driver() {
    let world = FakeWorld::new();
    let config = config(r#"{"faults": [{"operation": "find", "mode": "transient", "first": 2}]}"#);
    let find = |id| Desk::of(&world, &config, "a").find(Kind::Volume, id).is_ok();
    assert_eq!([find("o"), find("o"), find("o"), find("p")], [false, false, true, false]);
}

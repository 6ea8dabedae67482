//! Power actions as a host meets them.

use super::fake::{Desk, FakeWorld, config};
use super::ledgers::check;
use crate::naming::Kind;
use crate::power::Action;
use archipel_sdk::cloud::Status;
use archipel_sdk::{Applied, ErrorKind};

const CIRROS: &str = r#"{"name": "web", "image": "@cirros"}"#;

#[test]
fn a_machine_goes_through_every_state_by_the_clock_and_keeps_its_address() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "power_ms": 400}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    let address = desk.get(Kind::Compute, &id).unwrap().unwrap().addresses;
    for (action, word, status, cloud_state) in [
        (Action::Pause, "pausing", Status::Paused, "paused"),
        (Action::Resume, "resuming", Status::Ready, "active"),
        (Action::Stop, "stopping", Status::Stopped, "stopped"),
        (Action::Start, "starting", Status::Ready, "active"),
        (Action::Hibernate, "hibernating", Status::Hibernated, "hibernated"),
        (Action::Resume, "resuming", Status::Ready, "active"),
        (Action::Reboot, "rebooting", Status::Ready, "active"),
    ] {
        desk.act(action, &id).unwrap();
        let busy = desk.get(Kind::Compute, &id).unwrap().unwrap();
        assert_eq!((busy.status, busy.cloud_state.as_str()), (Status::Busy, word));
        assert!((300..=500).contains(&busy.poll_after_ms.unwrap()), "{busy:?}");
        desk.act(action, &id).unwrap();
        world.pass(500);
        let seen = desk.get(Kind::Compute, &id).unwrap().unwrap();
        assert_eq!((seen.status, seen.cloud_state.as_str()), (status, cloud_state));
        assert_eq!((&seen.addresses, seen.poll_after_ms), (&address, None));
    }
    check(&world, &desk, "at the end");
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_reason() {
    let (world, config) =
        (FakeWorld::new(), config(r#"{"boot_ms": 1000, "power_ms": 400, "delete_ms": 400}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    assert_eq!(desk.act(Action::Stop, &id).unwrap_err().kind(), ErrorKind::Transient, "it boots");
    world.pass(1300);
    let error = desk.act(Action::Start, "vm-nothing").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    desk.act(Action::Start, &id).unwrap();
    desk.act(Action::Stop, &id).unwrap();
    let error = desk.act(Action::Pause, &id).unwrap_err();
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::No));
    world.pass(600);
    let error = desk.act(Action::Pause, &id).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "the machine is stopped, not active"));
    desk.delete(Kind::Compute, &id).unwrap();
    assert_eq!(desk.act(Action::Start, &id).unwrap_err().kind(), ErrorKind::Conflict, "it is being deleted");
    world.pass(600);
    assert_eq!(desk.act(Action::Start, &id).unwrap_err().kind(), ErrorKind::NotFound);
    check(&world, &desk, "at the end");
}

#[test]
fn a_volume_is_attached_to_a_machine_that_is_stopped() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "power_ms": 400}"#));
    let desk = Desk::of(&world, &config, "a");
    let (compute, volume) = (desk.compute("1", CIRROS).unwrap(), desk.volume("v", 1).unwrap());
    desk.act(Action::Stop, &compute).unwrap();
    let error = desk.attach("a", &compute, &volume).unwrap_err();
    assert!(error.message().ends_with("is stopping; try again"), "{error}");
    world.pass(500);
    let attachment = desk.attach("a", &compute, &volume).unwrap();
    assert_eq!(desk.get(Kind::Attachment, &attachment).unwrap().unwrap().status, Status::Ready);
    check(&world, &desk, "at the end");
}

#[test]
fn faults_meet_power_actions_too() {
    let world = FakeWorld::new();
    let config = config(
        r#"{"boot_ms": 0, "power_ms": 0, "latency_ms": 7, "faults": [
            {"operation": "stop", "mode": "answer-lost", "first": 1},
            {"operation": "pause", "mode": "conflict", "names": ["web"], "message": "locked"}]}"#,
    );
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    let slept = world.state().slept;
    let lost = desk.act(Action::Stop, &id).unwrap_err();
    assert_eq!((lost.kind(), lost.applied_state()), (ErrorKind::Transient, Applied::Unknown));
    assert_eq!(world.state().slept - slept, 7);
    assert_eq!(desk.get(Kind::Compute, &id).unwrap().unwrap().status, Status::Stopped);
    desk.act(Action::Stop, &id).unwrap();
    desk.act(Action::Start, &id).unwrap();
    // The desk's orders have no names; the fault is for another machine.
    desk.act(Action::Pause, &id).unwrap();
}

#[test]
fn a_machine_of_before_power_actions_runs() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "power_ms": 0}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    let (key, bytes) = {
        let state = world.state();
        let (key, bytes) = state.map.iter().find(|(key, _)| key.ends_with(&id)).unwrap();
        (key.clone(), bytes.clone())
    };
    let text = String::from_utf8(bytes).unwrap();
    let older = text.replace(r#","power":{"level":"active"}"#, "");
    assert_ne!(older, text);
    world.state().map.insert(key, older.into_bytes());
    assert_eq!(desk.get(Kind::Compute, &id).unwrap().unwrap().status, Status::Ready);
    desk.act(Action::Stop, &id).unwrap();
    assert_eq!(desk.get(Kind::Compute, &id).unwrap().unwrap().status, Status::Stopped);
}

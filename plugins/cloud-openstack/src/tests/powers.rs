//! Scripted: power actions, in Nova's words, and what Nova says where it refuses or does not answer.

use crate::compute::power::{Action, act};
use crate::testing::{Script, cloud, order};
use archipel_sdk::cloud::{Known, OrderRef};
use archipel_sdk::{Applied, Error, ErrorKind};
use serde_json::json;
use std::time::Duration;

const ID: &str = "00000000-0000-4000-8000-000000000001";
const PATH: &str = "POST nova/v2.1/servers/00000000-0000-4000-8000-000000000001/action";
const LOOK: &str = "GET nova/v2.1/servers/00000000-0000-4000-8000-000000000001";

fn machine() -> OrderRef {
    order("compute", r#"{"image":"i"}"#)
}

fn known(order: &OrderRef) -> Known<'_> {
    Known { id: ID, driver_state: "", order }
}

fn server(status: &str) -> String {
    json!({"server": {"id": ID, "status": status}}).to_string()
}

/// What Nova says of a server in a state, or at a task, that does not allow it.
fn refusal(action: &str, state: &str) -> String {
    let words = format!("Cannot '{action}' instance {ID} while it is in {state}");
    json!({"conflictingRequest": {"code": 409, "message": words}}).to_string()
}

#[test]
fn every_action_is_one_call_in_novas_words() {
    let order = machine();
    for (action, body) in [
        (Action::Pause, json!({"pause": null})),
        (Action::Stop, json!({"os-stop": null})),
        (Action::Start, json!({"os-start": null})),
        (Action::Hibernate, json!({"suspend": null})),
        (Action::Reboot, json!({"reboot": {"type": "SOFT"}})),
    ] {
        let script = Script::default();
        script.answer(PATH, 202, "");
        act(&cloud(&script), action, known(&order)).unwrap();
        assert_eq!(script.body(0), body);
        script.assert_done();
    }
}

#[test]
fn what_wakes_a_server_depends_on_how_it_sleeps() {
    let order = machine();
    for (status, body) in [
        ("PAUSED", json!({"unpause": null})),
        ("SUSPENDED", json!({"resume": null})),
        ("SHELVED", json!({"unshelve": null})),
        ("SHELVED_OFFLOADED", json!({"unshelve": null})),
    ] {
        let script = Script::default();
        script.answer(LOOK, 200, &server(status)).answer(PATH, 202, "");
        act(&cloud(&script), Action::Resume, known(&order)).unwrap();
        assert_eq!(script.body(1), body, "{status}");
        script.assert_done();
    }
    let script = Script::default();
    script.answer(LOOK, 200, &server("ACTIVE"));
    act(&cloud(&script), Action::Resume, known(&order)).unwrap();
    script.answer(LOOK, 200, &server("SHUTOFF"));
    let error = act(&cloud(&script), Action::Resume, known(&order)).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Conflict, "nova: the server is SHUTOFF; only paused and suspended ones resume")
    );
    script.assert_done();
}

#[test]
fn what_is_so_already_is_no_conflict_and_what_cannot_be_is_one() {
    let order = machine();
    for (action, word, vm_state, status) in [
        (Action::Pause, "pause", "paused", "PAUSED"),
        (Action::Stop, "stop", "stopped", "SHUTOFF"),
        (Action::Start, "start", "active", "ACTIVE"),
        (Action::Hibernate, "suspend", "suspended", "SUSPENDED"),
    ] {
        let script = Script::default();
        let refused = refusal(word, &format!("vm_state {vm_state}"));
        script.answer(PATH, 409, &refused).answer(LOOK, 200, &server(status));
        act(&cloud(&script), action, known(&order)).unwrap();
        script.answer(PATH, 409, &refused).answer(LOOK, 200, &server("ERROR"));
        let error = act(&cloud(&script), action, known(&order)).unwrap_err();
        assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Conflict, Applied::No), "{word}");
        assert!(error.message().starts_with("nova: Cannot '"), "{error}");
        // The refusal stands where the look has no answer.
        script.answer(PATH, 409, &refused).answer(LOOK, 503, "");
        assert_eq!(act(&cloud(&script), action, known(&order)).unwrap_err().kind(), ErrorKind::Conflict);
        script.assert_done();
    }
    let script = Script::default();
    script.answer(PATH, 409, &refusal("reboot", "vm_state paused")).answer(LOOK, 200, &server("PAUSED"));
    let error = act(&cloud(&script), Action::Reboot, known(&order)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_server_at_another_task_is_asked_again_and_other_refusals_are_told_apart() {
    let order = machine();
    let fails = |status, body: &str| {
        let script = Script::default();
        script.answer(PATH, status, body);
        let error = act(&cloud(&script), Action::Pause, known(&order)).unwrap_err();
        script.assert_done();
        error
    };
    let error = fails(409, &refusal("pause", "task_state powering-off"));
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::No));
    assert_eq!(error.retry_after_time(), Some(Duration::from_secs(2)));
    let gone = format!(r#"{{"itemNotFound":{{"code":404,"message":"Instance {ID} could not be found."}}}}"#);
    assert_eq!(fails(404, &gone).kind(), ErrorKind::NotFound);
    let policy = r#"{"forbidden":{"code":403,"message":"Policy doesn't allow os_compute_api:os-pause-server:pause to be performed."}}"#;
    assert_eq!(fails(403, policy).kind(), ErrorKind::Forbidden);
    let cannot = r#"{"notImplemented":{"code":501,"message":"Unable to pause on this hypervisor."}}"#;
    assert_eq!(fails(501, cannot).kind(), ErrorKind::Unsupported);
    let error = fails(500, r#"{"computeFault":{"code":500,"message":"Unexpected API Error."}}"#);
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::Unknown));
}

#[test]
fn a_lost_answer_says_that_nova_may_have_acted() {
    let (order, script) = (machine(), Script::default());
    script.fail(PATH, Error::transient("the answer broke off").applied(Applied::Unknown));
    let error = act(&cloud(&script), Action::Reboot, known(&order)).unwrap_err();
    assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Transient, Applied::Unknown));
    script.assert_done();
}

#[test]
fn ids_that_would_reach_elsewhere_are_never_sent() {
    let order = machine();
    for id in ["", "../os-keypairs", "a/b", "a?b", ".."] {
        for action in [Action::Stop, Action::Resume] {
            let wrong = Known { id, driver_state: "", order: &order };
            assert_eq!(
                act(&cloud(&Script::default()), action, wrong).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
    }
}

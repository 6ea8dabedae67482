//! Scripted: what a healthy cloud does not do.

use crate::account::Account;
use crate::cloud::Cloud;
use crate::testing::{Script, cloud, context, dependency, order};
use crate::{attachment, compute, flavors, network, quota, volume};
use archipel_sdk::cloud::{Known, Observed, OrderRef, Status};
use archipel_sdk::{Applied, Error, ErrorKind};
use serde_json::json;

const ID: &str = "00000000-0000-4000-8000-000000000001";
const NET: &str = "00000000-0000-4000-8000-00000000000e";

fn machine() -> OrderRef {
    order(
        "compute",
        r#"{"image":"i","spec":"f","networks":[{"cloud_id":"00000000-0000-4000-8000-00000000000e"}]}"#,
    )
}

fn known<'a>(order: &'a OrderRef, driver_state: &'a str) -> Known<'a> {
    Known { id: ID, driver_state, order }
}

fn lost() -> Error {
    Error::transient("the answer broke off").applied(Applied::Unknown)
}

/// Kind and whether something was done.
fn outcome<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, Applied) {
    let error = result.unwrap_err();
    (error.kind(), error.applied_state())
}

/// Runs in a thread of its own: what a driver remembers, it remembers there.
fn alone(act: fn()) {
    std::thread::spawn(act).join().unwrap();
}

const SERVER: &str = r#"{"server":{"id":"00000000-0000-4000-8000-000000000001"}}"#;

#[test]
fn the_create_carries_the_order_in_its_own_body() {
    let script = Script::default();
    script.answer("POST nova/v2.1/servers", 202, SERVER);
    let order = machine();
    compute::request(&cloud(&script), &context(&order)).unwrap();
    let body = script.body(0);
    assert_eq!(body["server"]["metadata"]["archipel"], order.tag);
    assert_eq!(body["server"]["tags"], json!(["archipel", format!("archipel:{}", order.id)]));
    assert_eq!(body["server"]["networks"], json!([{ "uuid": NET }]));
    assert!(script.calls.borrow()[0].headers.contains(&("openstack-api-version", "compute 2.61".to_owned())));
    script.assert_done();
}

#[test]
fn an_older_nova_is_spoken_to_in_its_own_version_from_then_on() {
    alone(|| {
        let script = Script::default();
        script
            .answer(
                "POST nova/v2.1/servers",
                406,
                r#"{"computeFault":{"code":406,"message":"Version 2.61 is not supported by the API."}}"#,
            )
            .answer(
                "GET nova/v2.1/",
                200,
                r#"{"version":{"id":"v2.1","version":"2.60","min_version":"2.1"}}"#,
            )
            .answer("POST nova/v2.1/servers", 202, SERVER)
            .answer("POST nova/v2.1/servers", 202, SERVER);
        compute::request(&cloud(&script), &context(&machine())).unwrap();
        compute::request(&cloud(&script), &context(&machine())).unwrap();
        let spoken: Vec<_> =
            script.calls.borrow().iter().map(|call| call.headers.last().unwrap().1.clone()).collect();
        assert_eq!(spoken, ["compute 2.61", "application/json", "compute 2.60", "compute 2.60"]);
        script.assert_done();
    });
}

#[test]
fn a_nova_that_is_too_old_is_told_apart_and_nothing_was_done() {
    alone(|| {
        let script = Script::default();
        script.answer("POST nova/v2.1/servers", 406, "{}").answer(
            "GET nova/v2.1/",
            200,
            r#"{"version":{"id":"v2.1","version":"2.38"}}"#,
        );
        assert_eq!(
            outcome(compute::request(&cloud(&script), &context(&machine()))),
            (ErrorKind::Unsupported, Applied::No)
        );
    });
}

#[test]
fn extra_specs_that_an_older_nova_keeps_apart_are_asked_for_only_where_they_matter() {
    alone(|| {
        let script = Script::default();
        let list = r#"{"flavors":[{"id":"a","name":"a","vcpus":1,"ram":512,"disk":1},{"id":"b","name":"b","vcpus":2,"ram":512,"disk":1}]}"#;
        let images = r#"{"images":[{"id":"i","name":"debian","status":"active"}]}"#;
        script
            .answer("GET glance/v2/images?limit=500", 200, images)
            .answer("GET nova/v2.1/flavors/detail?limit=500", 200, list)
            .answer("GET nova/v2.1/flavors/a/os-extra_specs", 200, r#"{"extra_specs":{}}"#)
            .answer("GET nova/v2.1/flavors/b/os-extra_specs", 200, r#"{"extra_specs":{"gpu":"1"}}"#)
            .answer("POST nova/v2.1/servers", 202, SERVER);
        let spec = json!({"image": "@debian", "requirements": {"gpu": "1"}, "networks": [{"cloud_id": NET}]});
        compute::request(&cloud(&script), &context(&order("compute", &spec.to_string()))).unwrap();
        assert_eq!(script.body(4)["server"]["flavorRef"], "b");
        script.assert_done();
    });
}

#[test]
fn a_read_without_an_answer_is_tried_once_more_and_a_write_never() {
    let script = Script::default();
    script.fail("GET nova", lost()).answer("GET nova", 200, r#"{"server":{"id":"s","status":"ACTIVE"}}"#);
    let order = machine();
    assert!(matches!(compute::get(&cloud(&script), known(&order, "")).unwrap(), Observed::Present(_)));
    script.fail("GET nova", lost()).fail("GET nova", lost());
    assert_eq!(outcome(compute::get(&cloud(&script), known(&order, ""))).0, ErrorKind::Transient);
    script.fail("POST nova", lost());
    assert_eq!(
        outcome(compute::request(&cloud(&script), &context(&order))),
        (ErrorKind::Transient, Applied::Unknown)
    );
    script.fail("DELETE nova", lost());
    assert_eq!(
        outcome(compute::delete(&cloud(&script), known(&order, ""))),
        (ErrorKind::Transient, Applied::Unknown)
    );
    script.assert_done();
}

#[test]
fn a_create_says_what_is_known_of_it() {
    let (transient, unknown) = (ErrorKind::Transient, Applied::Unknown);
    for (status, body, expected) in [
        (500, r#"{"computeFault":{"code":500,"message":"Unexpected API Error."}}"#, (transient, unknown)),
        (502, "<html>Bad Gateway</html>", (transient, unknown)),
        (504, "", (transient, unknown)),
        (202, "<html>Welcome</html>", (transient, unknown)),
        (202, r#"{"servers":[]}"#, (transient, unknown)),
        (404, "<html>nginx</html>", (transient, Applied::No)),
        (
            403,
            r#"{"forbidden":{"code":403,"message":"Policy doesn't allow this."}}"#,
            (ErrorKind::Forbidden, Applied::No),
        ),
        (
            409,
            r#"{"conflictingRequest":{"code":409,"message":"Multiple possible networks found"}}"#,
            (ErrorKind::Conflict, Applied::No),
        ),
    ] {
        let script = Script::default();
        script.answer("POST nova/v2.1/servers", status, body);
        assert_eq!(
            outcome(compute::request(&cloud(&script), &context(&machine()))),
            expected,
            "{status} {body}"
        );
    }
}

#[test]
fn nothing_is_gone_unless_the_service_says_so_of_this_very_thing() {
    let order = machine();
    let router = r#"{"message":"The resource could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}"#;
    let cases = [
        (404, "<html>404</html>"),
        (404, ""),
        (404, router),
        (
            404,
            r#"{"NeutronError":{"type":"HTTPNotFound","message":"The resource could not be found.","detail":""}}"#,
        ),
        (404, r#"{"itemNotFound":{"code":404,"message":"Project p1 could not be found."}}"#),
        (403, r#"{"forbidden":{"code":403,"message":"no"}}"#),
        (
            401,
            r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#,
        ),
        (410, ""),
        (300, r#"{"choices":[]}"#),
    ];
    for (status, body) in cases {
        for get in [compute::get, volume::get, network::get] {
            let script = Script::default();
            script.answer("GET ", status, body);
            let seen = get(&cloud(&script), known(&order, ""));
            assert!(seen.is_err(), "{status} {body}");
        }
        let script = Script::default();
        script.answer("GET ", status, body);
        let pair = Known { id: "s:v", driver_state: "", order: &order };
        assert!(attachment::get(&cloud(&script), pair).is_err(), "{status} {body}");
        let script = Script::default();
        script.answer("DELETE ", status, body);
        assert!(compute::delete(&cloud(&script), known(&order, "")).is_err(), "{status} {body}");
    }
    let script = Script::default();
    let gone = format!(r#"{{"itemNotFound":{{"code":404,"message":"Instance {ID} could not be found."}}}}"#);
    script.answer("GET nova", 404, &gone).answer("DELETE nova", 404, &gone);
    assert!(matches!(compute::get(&cloud(&script), known(&order, "")).unwrap(), Observed::Gone));
    compute::delete(&cloud(&script), known(&order, "")).unwrap();
}

#[test]
fn a_refusal_of_what_an_old_view_made_is_answered_with_what_a_new_one_makes() {
    alone(|| {
        let script = Script::default();
        let flavor = |id: &str| {
            format!(
                r#"{{"flavors":[{{"id":"{id}","name":"{id}","vcpus":1,"ram":512,"disk":1,"extra_specs":{{}}}}]}}"#
            )
        };
        let images = r#"{"images":[{"id":"i","name":"debian","status":"active"}]}"#;
        let no = |what: &str| format!(r#"{{"badRequest":{{"code":400,"message":"{what}"}}}}"#);
        script
            .answer("GET glance/v2/images?limit=500", 200, images)
            .answer("GET nova/v2.1/flavors/detail?limit=500", 200, &flavor("old"))
            .answer("POST nova/v2.1/servers", 400, &no("Flavor old could not be found."))
            .answer("GET glance/v2/images?limit=500", 200, images)
            .answer("GET nova/v2.1/flavors/detail?limit=500", 200, &flavor("new"))
            .answer("POST nova/v2.1/servers", 202, SERVER);
        let spec = json!({"image": "@debian", "networks": [{"cloud_id": NET}]});
        let order = order("compute", &spec.to_string());
        compute::request(&cloud(&script), &context(&order)).unwrap();
        assert_eq!(script.body(5)["server"]["flavorRef"], "new");
        script.assert_done();
        // A refusal of the request itself stays: the new view makes the same of it.
        script
            .answer("POST nova/v2.1/servers", 400, &no("Invalid user_data."))
            .answer("GET glance/v2/images?limit=500", 200, images)
            .answer("GET nova/v2.1/flavors/detail?limit=500", 200, &flavor("new"));
        let error = compute::request(&cloud(&script), &context(&order)).unwrap_err();
        assert_eq!(error.message(), "nova: Invalid user_data.");
        script.assert_done();
    });
}

#[test]
fn an_image_that_came_since_is_looked_for_anew() {
    alone(|| {
        let script = Script::default();
        let images = |name: &str| format!(r#"{{"images":[{{"id":"i","name":"{name}","status":"active"}}]}}"#);
        script.answer("GET glance/v2/images?limit=500", 200, &images("old")).answer(
            "GET glance/v2/images?limit=500",
            200,
            &images("new"),
        );
        assert!(crate::images::choose(&cloud(&script), "@old").is_ok());
        assert!(crate::images::choose(&cloud(&script), "@new").is_ok());
        assert!(crate::images::choose(&cloud(&script), "@new").is_ok());
        script.assert_done();
    });
}

#[test]
fn what_one_project_sees_is_not_told_to_another_and_grows_old() {
    alone(|| {
        let script = Script::default();
        let flavors = |id: &str| {
            format!(
                r#"{{"flavors":[{{"id":"{id}","name":"n","vcpus":1,"ram":512,"disk":1,"extra_specs":{{}}}}]}}"#
            )
        };
        script
            .answer("GET nova/v2.1/flavors", 200, &flavors("of-p1"))
            .answer("GET nova/v2.1/flavors", 200, &flavors("of-p2"))
            .answer("GET nova/v2.1/flavors", 200, &flavors("later"));
        let one = cloud(&script);
        let attributes = r#"{"openstack":{"project_id":"p2","endpoints":{"compute":"http://nova/v2.1"}}}"#;
        let account = Account::new(serde_json::from_str(attributes).unwrap(), one.config);
        let two = Cloud { world: &script, config: one.config, account, is_afresh: false };
        let ask = archipel_sdk::cloud::ComputeSpec::default();
        let chosen = |cloud: &Cloud<'_>| flavors::choose(cloud, &ask, None).unwrap();
        assert_eq!([chosen(&one), chosen(&two), chosen(&one)], ["of-p1", "of-p2", "of-p1"]);
        script.now_ms.set(60_000);
        assert_eq!(chosen(&one), "later");
        script.assert_done();
    });
}

fn net() -> OrderRef {
    order("network", r#"{"cidr":"10.0.0.0/24"}"#)
}

const MADE: &str =
    r#"{"network":{"id":"00000000-0000-4000-8000-000000000001","status":"ACTIVE","subnets":[]}}"#;

#[test]
fn half_a_network_is_told_as_what_it_is() {
    let refused = r#"{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['subnet'].","detail":""}}"#;
    let script = Script::default();
    script.answer("POST neutron/v2.0/networks", 201, MADE).fail("POST neutron/v2.0/subnets", lost());
    assert_eq!(
        outcome(network::request(&cloud(&script), &context(&net()))),
        (ErrorKind::Transient, Applied::Unknown)
    );
    script.assert_done();
    let script = Script::default();
    script
        .answer("POST neutron/v2.0/networks", 201, MADE)
        .answer("POST neutron/v2.0/subnets", 409, refused)
        .answer("DELETE neutron/v2.0/networks/", 204, "");
    assert_eq!(
        outcome(network::request(&cloud(&script), &context(&net()))),
        (ErrorKind::QuotaExceeded, Applied::No)
    );
    let script = Script::default();
    script
        .answer("POST neutron/v2.0/networks", 201, MADE)
        .answer("POST neutron/v2.0/subnets", 409, refused)
        .fail("DELETE neutron/v2.0/networks/", lost());
    let (kind, applied) = outcome(network::request(&cloud(&script), &context(&net())));
    assert_eq!((kind, applied), (ErrorKind::QuotaExceeded, Applied::Unknown), "it is still there");
}

#[test]
fn half_a_network_that_cannot_be_completed_has_failed_and_says_why() {
    let half = r#"{"is_half_made":true}"#;
    let order = net();
    let refused = r#"{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['subnet'].","detail":""}}"#;
    let script = Script::default();
    script.answer("GET neutron", 200, MADE).answer("POST neutron/v2.0/subnets", 409, refused);
    match network::get(&cloud(&script), known(&order, half)).unwrap() {
        Observed::Present(network) => {
            assert_eq!(network.status, Status::Failed);
            assert_eq!(network.fault.as_deref(), Some("neutron: Quota exceeded for resources: ['subnet']."));
        }
        Observed::Gone => panic!("it is there"),
    }
    script.answer("GET neutron", 200, MADE).answer("POST neutron/v2.0/subnets", 503, "");
    assert!(network::get(&cloud(&script), known(&order, half)).is_err());
    // A subnet that its user deleted is not made again.
    script.answer("GET neutron", 200, MADE);
    assert!(network::get(&cloud(&script), known(&order, "{}")).is_ok());
    script.assert_done();
}

#[test]
fn a_note_that_failed_attached_nothing_and_a_lost_attachment_may_be_there() {
    let mut order = order("attachment", r#"{"compute":"c","volume":"v"}"#);
    order.dependencies = vec![dependency("c", "compute", "s1"), dependency("v", "volume", "v1")];
    let script = Script::default();
    script.answer("POST cinder/v3/p1/volumes/v1/metadata", 500, "");
    assert_eq!(
        outcome(attachment::request(&cloud(&script), &context(&order))),
        (ErrorKind::Transient, Applied::No)
    );
    script
        .answer("POST cinder/v3/p1/volumes/v1/metadata", 200, r#"{"metadata":{}}"#)
        .fail("POST nova", lost());
    assert_eq!(
        outcome(attachment::request(&cloud(&script), &context(&order))),
        (ErrorKind::Transient, Applied::Unknown)
    );
    assert_eq!(script.body(1)["metadata"]["archipel-attachment-s1"], order.tag);
    // Its machine is being built, or rebooted: that passes.
    let task = r#"{"conflictingRequest":{"code":409,"message":"Cannot 'attach_volume' instance s1 while it is in task_state rebooting"}}"#;
    script.answer("POST cinder", 200, r#"{"metadata":{}}"#).answer("POST nova", 409, task);
    assert_eq!(
        outcome(attachment::request(&cloud(&script), &context(&order))),
        (ErrorKind::Transient, Applied::No)
    );
    script.assert_done();
}

#[test]
fn an_attachment_without_its_halves_was_never_made() {
    let order = order("attachment", r#"{"compute":"c","volume":"v"}"#);
    assert!(attachment::find(&cloud(&Script::default()), &order).unwrap().is_empty());
    assert_eq!(
        outcome(attachment::request(&cloud(&Script::default()), &context(&order))).0,
        ErrorKind::Invalid
    );
}

#[test]
fn a_neutron_that_does_not_count_is_counted() {
    let script = Script::default();
    let none = r#"{"NeutronError":{"type":"HTTPNotFound","message":"The resource could not be found.","detail":""}}"#;
    script
        .answer(
            "GET nova/v2.1/limits",
            200,
            r#"{"limits":{"absolute":{"maxTotalInstances":-1,"totalInstancesUsed":4}}}"#,
        )
        .answer("GET cinder/v3/p1/limits", 200, r#"{"limits":{"absolute":{}}}"#)
        .answer("GET neutron/v2.0/quotas/p1/details.json", 404, none)
        .answer("GET neutron/v2.0/quotas/p1", 200, r#"{"quota":{"network":10,"floatingip":-1}}"#)
        .answer(
            "GET neutron/v2.0/networks?project_id=p1&fields=id",
            200,
            r#"{"networks":[{"id":"a"},{"id":"b"}]}"#,
        )
        .answer("GET neutron/v2.0/floatingips?project_id=p1&fields=id", 200, r#"{"floatingips":[]}"#);
    let entries: Vec<_> = quota::get(&cloud(&script))
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.total, entry.used))
        .collect();
    let expected = [("instances", None, 4), ("networks", Some(10), 2), ("public_ips", None, 0)];
    assert_eq!(entries, expected.map(|(name, total, used)| (name.to_owned(), total, used)));
}

#[test]
fn ids_that_would_reach_elsewhere_are_never_sent() {
    let order = machine();
    for id in ["", "../os-keypairs", "a/b", "a?b", ".", "..", "a%2fb"] {
        let known = Known { id, driver_state: "", order: &order };
        let script = Script::default();
        assert!(compute::get(&cloud(&script), known).is_err(), "{id}");
        assert!(
            attachment::delete(&cloud(&script), Known { id: &format!("s:{id}"), ..known }).is_err(),
            "{id}"
        );
    }
}

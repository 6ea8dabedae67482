//! `/v1/admin/sweep`, and the back-pressure of a cloud.

use archipel_api::ApiLimits;
use archipel_orders::Settings;
use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn administrators_sweep_and_confirm_and_users_do_not() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    for (method, path) in [
        ("GET", "/v1/admin/sweep"),
        ("POST", "/v1/admin/sweep/actions/run"),
        ("POST", "/v1/admin/sweep/actions/confirm"),
    ] {
        let body = (method == "POST").then(|| json!({}));
        assert_eq!(site.ask(method, path, &alice, &[], body).await.ok(403).problem(), "forbidden", "{path}");
    }
    site.compute(&alice).await;
    let report = site.get("/v1/admin/sweep", &admin).await.ok(200).json;
    assert_eq!((&report["confirmed"], &report["clouds"][0]["state"]), (&json!(true), &json!("never")));
    let unknown = site.post("/v1/admin/sweep/actions/run", &admin, json!({"cloud": "nowhere"})).await.ok(422);
    assert_eq!(unknown.problem(), "unknown-cloud");
    site.post("/v1/admin/sweep/actions/run", &admin, json!({"clouds": "one"})).await.ok(422).problem();
    site.post("/v1/admin/sweep/actions/run", &admin, json!({"cloud": "one"})).await.ok(202);
    loop {
        let report = site.get("/v1/admin/sweep", &admin).await.ok(200).json;
        if report["clouds"][0]["state"] == "done" {
            assert_eq!(report["clouds"][1]["state"], "never");
            break;
        }
        tokio::task::yield_now().await;
    }
    let confirm = |body| site.post("/v1/admin/sweep/actions/confirm", &admin, body);
    let other = "01930000-0000-7000-8000-000000000000";
    let refused = confirm(json!({"incarnation": other, "reason": "I looked"})).await.ok(409);
    assert_eq!(refused.json["reason"], "another-incarnation");
    confirm(json!({"incarnation": report["incarnation"], "reason": " "})).await.ok(422).problem();
    confirm(json!({"incarnation": "mine", "reason": "I looked"})).await.ok(422).problem();
    let confirmed =
        confirm(json!({"incarnation": report["incarnation"], "reason": "I looked"})).await.ok(200);
    assert_eq!(confirmed.json["confirmed"], true);
}

#[tokio::test]
async fn a_cloud_that_has_fallen_behind_answers_429_and_a_bulk_request_is_completed_later() {
    let settings = Settings { backlog_most: 0, ..Settings::default() };
    let site = TestSite::start_of(ApiLimits::default(), settings).await;
    let alice = site.token("alice").await;
    let compute = json!({"cloud": "one", "image": "debian", "vcpu": 1, "ram_mib": 256});
    let metrics = || async { site.get("/metrics", "").await.ok(200).text };
    while !metrics().await.contains("archipel_queue_claimed{cloud=\"one\"} 1") {
        tokio::task::yield_now().await;
    }
    let refused = site.post("/v1/computes", &alice, compute.clone()).await.ok(429);
    assert_eq!((refused.problem(), refused.header("retry-after")), ("too-many-requests", "10"));
    assert_eq!((&refused.json["reason"], &refused.json["cloud"]), (&json!("cloud-backlog"), &json!("one")));

    let mut item = compute;
    item["kind"] = json!("compute");
    let key = [("idempotency-key", "later")];
    let bulk = json!({"orders": [item, {"kind": "compute", "image": 7}]});
    let answer = site.ask("POST", "/v1/orders", &alice, &key, Some(bulk.clone())).await.ok(200);
    assert_eq!(
        (&answer.json["results"][0]["status"], &answer.json["results"][1]["status"]),
        (&json!(429), &json!(422))
    );
    let again = site.ask("POST", "/v1/orders", &alice, &key, Some(bulk)).await.ok(200);
    assert!(again.headers.get("idempotency-replayed").is_none(), "what is to come back later is not kept");
}

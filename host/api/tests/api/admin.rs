//! Managing the site, by policy and by socket.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::site::{TestSite, send};

#[tokio::test]
async fn users_are_403_on_admin_and_administrators_manage_plugins() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    for (method, path) in [
        ("GET", "/v1/admin/plugins"),
        ("GET", "/v1/admin/plugins/policy"),
        ("GET", "/v1/admin/plugins/none"),
        ("GET", "/v1/admin/plugins/policy/evidence"),
        ("POST", "/v1/admin/plugins/actions/reload"),
        ("POST", "/v1/admin/plugins/policy/actions/quarantine"),
        ("POST", "/v1/admin/config/actions/reload"),
    ] {
        assert_eq!(site.ask(method, path, &alice, &[], None).await.ok(403).problem(), "forbidden", "{path}");
    }
    let list = site.get("/v1/admin/plugins", &admin).await.ok(200);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 2);
    let broken = site.get("/v1/admin/plugins/broken", &admin).await.ok(200);
    assert_eq!(broken.json["state"], "rejected");
    assert_eq!(broken.json["last_error"], "not a component");
    site.get("/v1/admin/plugins/none", &admin).await.ok(404).problem();
    site.get("/v1/admin/plugins/none/evidence", &admin).await.ok(404).problem();
    let evidence = site.get("/v1/admin/plugins/policy/evidence", &admin).await.ok(200);
    assert_eq!(
        evidence.json,
        json!({"plugin": "policy", "quarantine": null, "failures": [], "forgotten": 0})
    );
    let path = "/v1/admin/plugins/policy/actions";
    let reply = site.post(&format!("{path}/quarantine"), &admin, json!({"reason": "noisy"})).await.ok(200);
    assert_eq!((&reply.json["state"], &reply.json["last_error"]), (&json!("quarantined"), &json!("noisy")));
    site.ask("POST", &format!("{path}/release"), &admin, &[], None).await.ok(200);
    site.ask("POST", &format!("{path}/quarantine"), &admin, &[], None).await.ok(200);
    site.post(&format!("{path}/quarantine"), &admin, json!({"reason": 1})).await.ok(422).problem();
    site.raw("POST", &format!("{path}/quarantine"), &admin, &[], "x").await.ok(415).problem();
    site.ask("POST", &format!("{path}/reload"), &admin, &[], None).await.ok(200);
    site.ask("POST", "/v1/admin/plugins/none/actions/reload", &admin, &[], None).await.ok(404).problem();
    site.ask("POST", "/v1/admin/plugins/actions/reload", &admin, &[], None).await.ok(200);
    let reply = site.ask("POST", "/v1/admin/config/actions/reload", &admin, &[], None).await.ok(200);
    assert_eq!(reply.json["generation"], 2);
}

#[tokio::test]
async fn the_administrators_door_needs_no_token_and_no_plugin() {
    let site = TestSite::start().await;
    site.set(|switches| &switches.policy_is_away, true);
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let me = send(&site.admin, get("/v1/me")).await.ok(200);
    assert_eq!(me.json["name"], "local:admin");
    send(&site.admin, get("/v1/admin/plugins")).await.ok(200);
    send(&site.admin, get("/v1/orders")).await.ok(200);
    send(&site.admin, get("/v1/nothing")).await.ok(404).problem();
    let body = json!({"cloud": "one", "image": "debian"}).to_string();
    let create =
        Request::post("/v1/computes").header("content-type", "application/json").body(body.into()).unwrap();
    send(&site.admin, create).await.ok(201);
    let logout = Request::delete("/v1/tokens/current").body(Body::empty()).unwrap();
    send(&site.admin, logout).await.ok(422).problem();
}

#[tokio::test]
async fn an_administrator_gives_up_an_order_that_is_being_deleted_and_no_other() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    let id = site.compute(&alice).await.id();
    let path = format!("/v1/admin/orders/{id}/actions/forget");
    let why = json!({"reason": "the cloud was scrapped"});
    assert_eq!(site.post(&path, &admin, why.clone()).await.ok(409).problem(), "conflict");
    site.set(|switches| &switches.cloud_is_away, true);
    site.ask("DELETE", &format!("/v1/computes/{id}"), &alice, &[], None).await.ok(202);
    assert_eq!(site.post(&path, &admin, json!({})).await.ok(422).json["field"], "reason");
    assert_eq!(site.post(&path, &alice, why.clone()).await.ok(403).problem(), "forbidden");
    assert_eq!(site.post(&path, &admin, why.clone()).await.ok(200).json["state"], "closed");
    assert_eq!(site.post(&path, &admin, why).await.ok(409).problem(), "conflict");
    let events = site.get(&format!("/v1/orders/{id}/events"), &admin).await.ok(200);
    let items = events.json["items"].as_array().unwrap();
    let forgotten = &items[items.len() - 2];
    assert_eq!(forgotten["type"], "org.archipel.order.forgotten.v1");
    assert_eq!(forgotten["data"]["forgotten"]["reason"], "the cloud was scrapped");
    assert!(forgotten["data"]["forgotten"]["tag"].as_str().unwrap().ends_with(&id), "{forgotten}");
    assert_eq!(items.last().unwrap()["type"], "org.archipel.order.closed.v1");
}

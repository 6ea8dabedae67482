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

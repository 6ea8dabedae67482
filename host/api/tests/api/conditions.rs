//! ETags, conditions, patches, waiting.

use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn a_read_of_what_is_known_is_304() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let path = order.json["href"].as_str().unwrap();
    let tag = order.header("etag");
    let listed = format!("\"999\", {tag}");
    let weak = format!("W/{tag}");
    for known in [tag, &listed, &weak, "*"] {
        let reply = site.ask("GET", path, &token, &[("if-none-match", known)], None).await.ok(304);
        assert_eq!(reply.header("etag"), tag);
        assert!(reply.text.is_empty());
    }
    site.ask("GET", path, &token, &[("if-none-match", "\"999\"")], None).await.ok(200);
    let reply = site.ask("GET", path, &token, &[("if-none-match", "nonsense")], None).await.ok(400);
    assert_eq!(reply.problem(), "bad-header");
}

#[tokio::test]
async fn a_patch_changes_labels_and_lease_and_nothing_else() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let path = order.json["href"].as_str().unwrap();
    let merge = [("content-type", "application/merge-patch+json")];
    let body = json!({"labels": {"team": "red", "tier": "1"}, "lease": {"duration_s": 3600}});
    let reply = site.ask("PATCH", path, &token, &merge, Some(body)).await.ok(200);
    assert_eq!(reply.json["labels"], json!({"team": "red", "tier": "1"}));
    assert!(reply.json["lease"]["expires_at"].is_string());
    assert_ne!(reply.header("etag"), order.header("etag"));
    let reply = site
        .ask("PATCH", path, &token, &[], Some(json!({"labels": {"team": null}, "lease": null})))
        .await
        .ok(200);
    assert_eq!(reply.json["labels"], json!({"tier": "1"}));
    assert_eq!(reply.json["lease"], json!(null));
    let reply = site.ask("PATCH", path, &token, &[], Some(json!({"labels": null}))).await.ok(200);
    assert_eq!(reply.json["labels"], json!({}));
    let before = reply.header("etag").to_owned();
    let reply = site.ask("PATCH", path, &token, &[], Some(json!({}))).await.ok(200);
    assert_eq!(reply.header("etag"), before);
    for (body, field) in [
        (json!({"name": "x"}), "name"),
        (json!({"labels": {"UPPER": "x"}}), "labels"),
        (json!({"labels": {"a": 1}}), "labels.a"),
        (json!({"lease": {"duration_s": 0}}), "lease"),
        (json!({"lease": {"expires_at": "2001-01-01T00:00:00Z"}}), "lease"),
        (json!([]), ""),
    ] {
        let reply = site.ask("PATCH", path, &token, &[], Some(body.clone())).await.ok(422);
        reply.problem();
        assert!(reply.json["field"].as_str().unwrap_or_default().starts_with(field), "{body} {}", reply.text);
    }
    site.raw("PATCH", path, &token, &[("content-type", "application/json-patch+json")], "[]")
        .await
        .ok(415)
        .problem();
}

#[tokio::test]
async fn a_write_that_is_bound_to_an_old_version_is_412() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let path = order.json["href"].as_str().unwrap();
    let tag = order.header("etag").to_owned();
    let body = || Some(json!({"labels": {"a": "b"}}));
    let weak = format!("W/{tag}");
    for stale in ["\"999\"", weak.as_str(), "\"998\", \"999\""] {
        let reply = site.ask("PATCH", path, &token, &[("if-match", stale)], body()).await.ok(412);
        assert_eq!(reply.problem(), "precondition-failed");
        site.ask("DELETE", path, &token, &[("if-match", stale)], None).await.ok(412).problem();
    }
    site.ask("PATCH", path, &token, &[("if-match", "nonsense")], body()).await.ok(400).problem();
    site.ask("PATCH", path, &token, &[("if-match", &format!("\"999\", {tag}"))], body()).await.ok(200);
    site.ask("PATCH", path, &token, &[("if-match", &tag)], body()).await.ok(412).problem();
    site.ask("DELETE", path, &token, &[("if-match", "*")], None).await.ok(202);
}

#[tokio::test]
async fn a_wait_ends_when_the_order_changes_or_the_time_is_up() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let path = order.json["href"].as_str().unwrap().to_owned();
    let tag = order.header("etag").to_owned();
    let begun = std::time::Instant::now();
    let reply = site.ask("GET", &path, &token, &[("prefer", "wait=30")], None).await.ok(200);
    assert!(begun.elapsed().as_secs() < 5, "it was settled already");
    assert_eq!(reply.header("preference-applied"), "wait=30");
    let reply =
        site.ask("GET", &path, &token, &[("prefer", "wait=1"), ("if-none-match", &tag)], None).await.ok(304);
    assert_eq!(reply.header("preference-applied"), "wait=1");
    let waiting = async {
        site.ask("GET", &path, &token, &[("prefer", "wait=30"), ("if-none-match", &tag)], None).await
    };
    let change = async {
        tokio::task::yield_now().await;
        site.ask("PATCH", &path, &token, &[], Some(json!({"labels": {"a": "b"}}))).await
    };
    let (waited, changed) = tokio::join!(waiting, change);
    changed.ok(200);
    assert_eq!(waited.ok(200).json["labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn a_wait_ends_with_the_session_that_waits() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.set(|switches| &switches.cloud_is_slow, true);
    let order = site.post("/v1/computes", &token, json!({"cloud": "one", "image": "a"})).await.ok(201);
    let path = order.json["href"].as_str().unwrap().to_owned();
    let begun = std::time::Instant::now();
    let waiting = async { site.ask("GET", &path, &token, &[("prefer", "wait=30")], None).await };
    let logout = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        site.ask("DELETE", "/v1/tokens/current", &token, &[], None).await
    };
    let (waited, gone) = tokio::join!(waiting, logout);
    gone.ok(204);
    assert_eq!(waited.ok(401).problem(), "unauthenticated");
    assert!(begun.elapsed().as_secs() < 5);
}

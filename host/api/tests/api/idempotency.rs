//! The same POST twice does it once.

use serde_json::json;

use crate::site::{Reply, TestSite};

async fn keyed(site: &TestSite, path: &str, token: &str, key: &str, body: serde_json::Value) -> Reply {
    site.ask("POST", path, token, &[("idempotency-key", key)], Some(body)).await
}

async fn count(site: &TestSite, token: &str) -> usize {
    site.get("/v1/orders?limit=1000", token).await.ok(200).json["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_key_and_body_give_the_first_answer_again() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let body = || json!({"cloud": "one", "size_gib": 1});
    let first = keyed(&site, "/v1/volumes", &token, "k1", body()).await.ok(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    site.ask("GET", first.header("location"), &token, &[("prefer", "wait=20")], None).await.ok(200);
    let second = keyed(&site, "/v1/volumes", &token, "k1", body()).await.ok(201);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.text, first.text, "the first answer, not the order as it stands now");
    for header in ["location", "etag", "content-type"] {
        assert_eq!(second.header(header), first.header(header));
    }
    assert_eq!(count(&site, &token).await, 1);
}

#[tokio::test]
async fn a_key_holds_for_one_body_one_path_and_one_owner() {
    let site = TestSite::start().await;
    let (alice, bob) = (site.token("alice").await, site.token("bob").await);
    keyed(&site, "/v1/volumes", &alice, "k", json!({"cloud": "one", "size_gib": 1})).await.ok(201);
    let reply =
        keyed(&site, "/v1/volumes", &alice, "k", json!({"cloud": "one", "size_gib": 2})).await.ok(422);
    assert_eq!(reply.problem(), "idempotency-key-reused");
    keyed(&site, "/v1/computes", &alice, "k", json!({"cloud": "one", "image": "a"})).await.ok(201);
    keyed(&site, "/v1/volumes", &bob, "k", json!({"cloud": "one", "size_gib": 2})).await.ok(201);
    for bad in ["", "a b", "\u{e9}", &"k".repeat(256)] {
        let reply =
            keyed(&site, "/v1/volumes", &alice, bad, json!({"cloud": "one", "size_gib": 1})).await.ok(400);
        assert_eq!(reply.problem(), "bad-header");
    }
}

#[tokio::test]
async fn refusals_that_would_be_the_same_are_kept_and_others_tried_again() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let body = || json!({"cloud": "nine", "size_gib": 1});
    let first = keyed(&site, "/v1/volumes", &token, "k422", body()).await.ok(422);
    let second = keyed(&site, "/v1/volumes", &token, "k422", body()).await.ok(422);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(first.text, second.text);
    assert_eq!(second.header("content-type"), "application/problem+json");

    let wrong = || json!({"cloud": "one", "size_gib": "x"});
    keyed(&site, "/v1/volumes", &token, "kshape", wrong()).await.ok(422);
    assert_eq!(
        keyed(&site, "/v1/volumes", &token, "kshape", wrong()).await.ok(422).header("idempotency-replayed"),
        "true"
    );

    let body = || json!({"cloud": "one", "size_gib": 1});
    site.set(|switches| &switches.policy_is_away, true);
    keyed(&site, "/v1/volumes", &token, "k503", body()).await.ok(503);
    site.set(|switches| &switches.policy_is_away, false);
    let reply = keyed(&site, "/v1/volumes", &token, "k503", body()).await.ok(201);
    assert_eq!(reply.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn twins_make_one_order() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let twins =
        (0..16).map(|_| keyed(&site, "/v1/volumes", &token, "twin", json!({"cloud": "one", "size_gib": 1})));
    let replies = futures::future::join_all(twins).await;
    let first = replies.iter().filter(|reply| reply.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1);
    assert!(replies.iter().all(|reply| reply.status == 201 && reply.text == replies[0].text));
    assert_eq!(count(&site, &token).await, 1);
}

#[tokio::test]
async fn a_bulk_request_is_done_once() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let body = || {
        json!({"orders": [
            {"kind": "volume", "cloud": "one", "size_gib": 1},
            {"kind": "volume", "cloud": "nine", "size_gib": 1},
            {"kind": "compute", "cloud": "one", "image": "a"}
        ]})
    };
    let first = keyed(&site, "/v1/orders", &token, "bulk", body()).await.ok(200);
    let second = keyed(&site, "/v1/orders", &token, "bulk", body()).await.ok(200);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(first.text, second.text);
    assert_eq!(count(&site, &token).await, 2);
    let other = json!({"orders": [{"kind": "volume", "cloud": "one", "size_gib": 1}]});
    keyed(&site, "/v1/orders", &token, "bulk", other).await.ok(422).problem();
}

#[tokio::test]
async fn a_bulk_answer_that_is_too_large_to_keep_is_made_again_from_its_orders() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let item = json!({"kind": "compute", "cloud": "one", "image": "a", "user_data": "x".repeat(50_000)});
    let body = json!({"orders": vec![item; 15]});
    let ids = |reply: &Reply| -> Vec<String> {
        let results = reply.json["results"].as_array().unwrap();
        results.iter().map(|result| result["order"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = keyed(&site, "/v1/orders", &token, "large", body.clone()).await.ok(200);
    let second = keyed(&site, "/v1/orders", &token, "large", body).await.ok(200);
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(count(&site, &token).await, 15);
}

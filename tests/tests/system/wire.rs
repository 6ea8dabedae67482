//! What a rude client may send: each has a typed clear answer, and the site goes on.

use archipel_client::Client;
use archipel_tests::orders::{create, id, small_compute};
use archipel_tests::site::Site;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn post(client: &Client, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let answer = client.send_bytes(Method::POST, path, &JSON, body.into()).await.unwrap();
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{path}: {}",
        answer.status()
    );
    (answer.status(), answer.json().unwrap())
}

#[tokio::test]
async fn bodies_that_are_broken_too_big_too_deep_or_wrongly_typed() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
    let big = format!("{{\"image\": \"{}\"}}", "x".repeat(2 << 20));
    for (what, body, status, code) in [
        ("nothing", String::new(), 400, "broken-json"),
        ("broken", "{\"image\": ".to_owned(), 400, "broken-json"),
        ("two documents", "{} {}".to_owned(), 400, "broken-json"),
        ("NaN", "{\"vcpu\": NaN}".to_owned(), 400, "broken-json"),
        ("deep lists", deep("[", "]"), 400, "broken-json"),
        ("deep objects", deep("{\"a\":", "}"), 400, "broken-json"),
        ("too big", big, 413, "too-large"),
        ("a list", "[]".to_owned(), 422, "invalid"),
        ("null", "null".to_owned(), 422, "invalid"),
        ("a missing field", "{}".to_owned(), 422, "invalid"),
        ("an unknown field", json!({"image": "@cirros", "vcpus": 1}).to_string(), 422, "invalid"),
        ("a wrong type", json!({"image": "@cirros", "vcpu": "one"}).to_string(), 422, "invalid"),
        ("a negative number", json!({"image": "@cirros", "vcpu": -1}).to_string(), 422, "invalid"),
        ("zero", json!({"image": "@cirros", "vcpu": 0}).to_string(), 422, "invalid"),
        ("a huge number", json!({"image": "@cirros", "ram_mib": u64::MAX}).to_string(), 422, "invalid"),
        ("1e400", "{\"image\": \"@cirros\", \"vcpu\": 1e400}".to_owned(), 0, ""),
        (
            "an unknown cloud",
            json!({"image": "@cirros", "cloud": "nowhere"}).to_string(),
            422,
            "unknown-cloud",
        ),
        (
            "an unknown site",
            json!({"image": "@cirros", "site": "b.example.org"}).to_string(),
            422,
            "unknown-site",
        ),
        (
            "a deadline in the past",
            json!({"image": "@cirros", "deadline": "2001-01-01T00:00:00Z"}).to_string(),
            422,
            "deadline-passed",
        ),
        (
            "a label with a bad key",
            json!({"image": "@cirros", "labels": {"A B": "x"}}).to_string(),
            422,
            "invalid",
        ),
    ] {
        let (got, problem) = post(&alice, "/v1/computes", body).await;
        if status == 0 {
            assert!(got == 400 || got == 422, "{what}: {got} {problem}");
            continue;
        }
        assert_eq!(got, status, "{what}: {problem}");
        assert_eq!(problem["type"], format!("urn:archipel:problem:{code}"), "{what}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{what}");
    }
    let (status, problem) =
        post(&alice, "/v1/computes", json!({"image": "@cirros", "vcpus": 1}).to_string()).await;
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("vcpus"), "{problem}");

    let text = [("content-type", "text/plain")];
    let answer =
        alice.send_bytes(Method::POST, "/v1/computes", &text, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(answer.status(), 415);
    let not_utf8 = Bytes::from_static(b"{\"image\": \"\xff\xfe\"}");
    assert_eq!(post(&alice, "/v1/computes", not_utf8).await.0, 400);
    // Nothing of all that was ordered.
    let all = alice.get("/v1/orders").await.unwrap().success().unwrap();
    assert_eq!(all["items"], json!([]));
}

#[tokio::test]
async fn unknown_ids_huge_pages_tampered_cursors_and_wrong_methods() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(create(&alice, "volumes", &json!({"name": format!("v{n}"), "size_gib": 1})).await.unwrap());
    }
    let status = async |client: &Client, path: &str| client.get(path).await.unwrap().status();

    let unknown = "0190f3a4-7c3b-7def-8000-123456789abc";
    let of_alice = id(&made[0]);
    let absent = alice.get(&format!("/v1/orders/{unknown}")).await.unwrap();
    let not_his = bob.get(&format!("/v1/orders/{of_alice}")).await.unwrap();
    assert_eq!((absent.status(), not_his.status()), (404, 404));
    assert_eq!(absent.json().unwrap()["detail"], not_his.json().unwrap()["detail"], "both look the same");
    for path in [
        format!("/v1/computes/{of_alice}"),
        "/v1/orders/x".to_owned(),
        "/v1/orders/%00".to_owned(),
        "/v1/orders/..%2f..%2fetc%2fpasswd".to_owned(),
        "/v1/clouds/nowhere".to_owned(),
        "/v1/clouds/nowhere/specs".to_owned(),
        "/v1/no-such-thing".to_owned(),
        "/no-such-thing".to_owned(),
    ] {
        assert_eq!(status(&alice, &path).await, 404, "{path}");
    }
    assert_eq!(bob.delete(&format!("/v1/orders/{of_alice}")).await.unwrap().status(), 404);

    for (query, wanted) in [
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=99999999999999999999", 422),
        ("limit=ten", 400),
        ("limit=1&limit=2", 400),
        ("colour=red", 400),
        ("state=happy", 400),
        ("unreachable=maybe", 400),
        ("cursor=", 400),
        ("cursor=AAAA", 400),
        ("limit=1000", 200),
    ] {
        assert_eq!(status(&alice, &format!("/v1/orders?{query}")).await, wanted, "{query}");
    }
    let page = alice.get("/v1/orders?limit=1").await.unwrap().success().unwrap();
    let cursor = page["next"].as_str().unwrap();
    assert_eq!(status(&alice, &format!("/v1/orders?limit=1&cursor={cursor}")).await, 200);
    let mut bent = cursor.to_owned();
    let first = if bent.starts_with('A') { "B" } else { "A" };
    bent.replace_range(0..1, first);
    assert_eq!(status(&alice, &format!("/v1/orders?limit=1&cursor={bent}")).await, 400);
    assert_eq!(status(&alice, &format!("/v1/volumes?limit=1&cursor={cursor}")).await, 400, "another list");
    assert_eq!(
        status(&alice, &format!("/v1/orders?limit=1&state=open&cursor={cursor}")).await,
        400,
        "other filters"
    );
    assert_eq!(status(&bob, &format!("/v1/orders?limit=1&cursor={cursor}")).await, 400, "another user");

    let put = alice.send(Method::PUT, "/v1/computes", &[], Some(&json!({}))).await.unwrap();
    assert_eq!(put.status(), 405);
    let allowed = put.header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    let odd = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(alice.send(odd, "/v1/orders", &[], None).await.unwrap().status(), 405);
}

#[tokio::test]
async fn users_have_no_business_with_administration() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let refused = alice.get("/v1/admin/plugins").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(!refused.json().unwrap()["detail"].as_str().unwrap().is_empty());
    let off = alice.post("/v1/admin/plugins/aaa-local/actions/quarantine", &json!({})).await.unwrap();
    assert_eq!(off.status(), 403);
    let admin = daemon.login("admin").await.unwrap();
    let plugins = admin.get("/v1/admin/plugins").await.unwrap().success().unwrap();
    assert_eq!(plugins["items"].as_array().unwrap().len(), archipel_tests::site::PLUGINS.len());
    // Passwords, hashes and tokens are in no answer about plugins.
    let text = plugins.to_string();
    assert!(!text.contains("argon2id$") && !text.contains("arch1."), "{text}");
}

#[tokio::test]
async fn a_retried_create_is_the_same_order() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let key = [("idempotency-key", "k-1")];
    let body = small_compute("once");
    let ask = async |body: &Value| alice.send(Method::POST, "/v1/computes", &key, Some(body)).await.unwrap();
    let (one, two, three) = tokio::join!(ask(&body), ask(&body), ask(&body));
    let ids: Vec<Value> =
        [one, two, three].iter().map(|answer| answer.success().unwrap()["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let again = ask(&body).await;
    assert_eq!((again.status(), again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(ask(&small_compute("other")).await.status(), 422);
    assert_eq!(
        alice.get("/v1/orders").await.unwrap().success().unwrap()["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn what_needs_no_token_is_there_and_describes_itself() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let anyone = daemon.anonymous();
    let openapi = anyone.get("/openapi.json").await.unwrap().success().unwrap();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/v1/computes", "/v1/orders/{id}", "/v1/tokens", "/v1/admin/plugins"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/metrics", "application/openmetrics-text"),
        ("/healthz", "application/json"),
    ] {
        let answer = anyone.get(path).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(
            answer.header("content-type").unwrap().starts_with(kind),
            "{path}: {:?}",
            answer.header("content-type")
        );
    }
    assert_eq!(anyone.get("/readyz").await.unwrap().status(), 200);
    let bindings = anyone.get("/v1/tokens").await.unwrap().success().unwrap();
    assert_eq!(bindings["items"][0]["name"], "local");
}

//! Every failure is a problem document with the right status, and nothing from outside causes a 500.

use archipel_api::ApiLimits;
use axum::body::Body;
use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn without_a_token_every_path_under_v1_is_401_known_or_not() {
    let site = TestSite::start().await;
    for (method, path) in [
        ("GET", "/v1/me"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("BREW", "/v1/computes"),
        ("PUT", "/v1/tokens"),
        ("GET", "/v1/computes?nope=1"),
        ("POST", "/v1/computes"),
        ("DELETE", "/v1/computes/7"),
        ("GET", "/v1/public-ips"),
        ("GET", "/v1/admin/plugins"),
    ] {
        let reply = site.get_as(method, path).await.ok(401);
        assert_eq!(reply.problem(), "unauthenticated", "{method} {path}");
        assert!(reply.header("www-authenticate").starts_with("Bearer realm="), "{method} {path}");
    }
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/tokens"] {
        site.get(open, "").await.ok(200);
    }
}

impl TestSite {
    async fn get_as(&self, method: &str, path: &str) -> crate::site::Reply {
        self.ask(method, path, "", &[], None).await
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_401() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let mut bent = token.clone();
    bent.pop();
    for bad in ["x", "a.b.c", bent.as_str(), &format!("{token}x"), &"x".repeat(20_000)] {
        let reply = site.get("/v1/me", bad).await.ok(401);
        assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""));
    }
    for header in ["Basic YWxpY2U6eA==", "Bearer", "Bearer ", "Bearer a b", ""] {
        site.ask("GET", "/v1/me", "", &[("authorization", header)], None).await.ok(401).problem();
    }
    let twice = [("authorization", "Bearer x"), ("authorization", "Bearer y")];
    site.ask("GET", "/v1/me", "", &twice, None).await.ok(401).problem();
    site.ask("GET", "/v1/me", "", &[("authorization", &format!("bEARER {token}"))], None).await.ok(200);
}

#[tokio::test]
async fn with_a_token_unknown_paths_are_404_and_wrong_methods_405_with_allow() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    for path in
        ["/v1/nothing", "/v1", "/v1/computes/", "/nothing", "/v1/public-ips", "/v1/sites", "/v1/computes/%ff"]
    {
        assert_eq!(site.get(path, &token).await.ok(404).problem(), "not-found", "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/computes", "GET"),
        ("PUT", "/v1/computes/x", "PATCH"),
        ("POST", "/v1/me", "GET"),
        ("BREW", "/v1/orders", "POST"),
        ("POST", "/healthz", "GET"),
    ] {
        let reply = site.ask(method, path, &token, &[], None).await.ok(405);
        assert_eq!(reply.problem(), "method-not-allowed");
        assert!(reply.header("allow").contains(allow), "{method} {path}: {}", reply.header("allow"));
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400_and_one_of_the_wrong_shape_422_with_the_field() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let json = [("content-type", "application/json")];
    let deep = "[".repeat(200_000);
    let broken: [&[u8]; 8] = [
        b"",
        b"{",
        b"nonsense",
        b"{\"image\": NaN}",
        b"{\"image\": \"\xff\xfe\"}",
        b"{\"image\": \"a\"} x",
        b"{\"vcpu\": 1e400}",
        deep.as_bytes(),
    ];
    for body in broken {
        let reply = site.raw("POST", "/v1/computes", &token, &json, body.to_vec()).await.ok(400);
        assert_eq!(reply.problem(), "broken-json");
    }
    for (body, field) in [
        (json!({"image": 1}), "image"),
        (json!({}), ""),
        (json!([]), ""),
        (json!({"image": "a", "colour": "red"}), "colour"),
        (json!({"image": "a", "vcpu": -1}), "vcpu"),
        (json!({"image": "a", "networks": [{"order": 5}]}), "networks[0].order"),
        (json!({"image": "a", "networks": [{}]}), "networks[0]"),
        (json!({"image": "a", "labels": {"a": 1}}), "labels.a"),
        (json!({"image": "a", "deadline": "yesterday"}), "deadline"),
        (json!({"image": "a", "lease": {"duration_s": "x"}}), "lease.duration_s"),
        (json!({"image": "", "cloud": "one"}), "image"),
        (json!({"image": "a", "cloud": "one", "vcpu": 0}), "vcpu"),
    ] {
        let reply = site.post("/v1/computes", &token, body.clone()).await.ok(422);
        assert_eq!(reply.problem(), "invalid", "{body}");
        assert_eq!(reply.json["field"].as_str().unwrap_or_default(), field, "{body} {}", reply.text);
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_typed() {
    let site =
        TestSite::start_with(ApiLimits { body_bytes: 1000, body_timeout_s: 1, ..ApiLimits::default() }).await;
    let token = site.token("alice").await;
    let json = [("content-type", "application/json")];
    let reply = site.raw("POST", "/v1/computes", &token, &json, "x".repeat(1001)).await.ok(413);
    assert_eq!(reply.problem(), "too-large");
    assert_eq!(reply.json["limit_bytes"], 1000);
    let chunks = tokio_stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    site.raw("POST", "/v1/computes", &token, &json, Body::from_stream(chunks)).await.ok(413).problem();
    let stated = [("content-type", "application/json"), ("content-length", "99999999999999999999")];
    site.raw("POST", "/v1/computes", &token, &stated, "{").await.ok(400).problem();

    let never = tokio_stream::pending::<Result<String, std::io::Error>>();
    let reply = site.raw("POST", "/v1/computes", &token, &json, Body::from_stream(never)).await.ok(408);
    assert_eq!(reply.problem(), "request-timeout");
    let broken = tokio_stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("gone"))]);
    assert_eq!(
        site.raw("POST", "/v1/computes", &token, &json, Body::from_stream(broken)).await.ok(400).problem(),
        "bad-body"
    );

    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/merge-patch+json",
    ] {
        let reply = site.raw("POST", "/v1/computes", &token, &[("content-type", media)], "{}").await.ok(415);
        assert_eq!(reply.problem(), "unsupported-media-type", "{media}");
    }
    site.raw("POST", "/v1/computes", &token, &[], "{}").await.ok(415).problem();
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    site.raw("POST", "/v1/computes", &token, &charset, "{}").await.ok(422).problem();
}

#[tokio::test]
async fn queries_are_checked_on_every_method() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    for query in [
        "limit=x",
        "nope=1",
        "limit=1&limit=2",
        "state=nonsense",
        "unreachable=maybe",
        "label=x",
        "cloud=%ff",
        "limit=1.0",
    ] {
        let reply = site.get(&format!("/v1/computes?{query}"), &token).await.ok(400);
        assert_eq!(reply.problem(), "bad-query", "{query}");
    }
    for query in ["limit=0", "limit=1001", "limit=-5", "limit=99999999999999999999"] {
        assert_eq!(
            site.get(&format!("/v1/computes?{query}"), &token).await.ok(422).problem(),
            "invalid",
            "{query}"
        );
    }
    for cursor in ["x", "AAAA", "%00", &"A".repeat(5000)] {
        assert_eq!(
            site.get(&format!("/v1/computes?cursor={cursor}"), &token).await.ok(400).problem(),
            "bad-cursor"
        );
    }
    for (method, path) in [
        ("GET", "/v1/me?x=1"),
        ("GET", "/v1/tokens?x=1"),
        ("GET", "/v1/clouds?limit=5"),
        ("GET", "/v1/clouds/one/quota?x"),
        ("DELETE", "/v1/computes/0?force=true"),
        ("GET", "/v1/computes/0?refresh=1"),
        ("GET", "/v1/sessions?x="),
    ] {
        assert_eq!(
            site.ask(method, path, &token, &[], None).await.ok(400).problem(),
            "bad-query",
            "{method} {path}"
        );
    }
    for (method, path) in
        [("POST", "/v1/computes?x=1"), ("POST", "/v1/orders?x=1"), ("POST", "/v1/tokens?x=1")]
    {
        site.ask(method, path, &token, &[], Some(json!({}))).await.ok(400).problem();
    }
}

#[tokio::test]
async fn when_users_cannot_be_judged_it_is_503_and_never_401_or_200() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let id = site.compute(&token).await.id();
    site.set(|switches| &switches.policy_is_away, true);
    let unknown = archipel_model::OrderId::generate();
    for path in [
        format!("/v1/computes/{id}"),
        format!("/v1/computes/{unknown}"),
        "/v1/orders".into(),
        "/v1/me".into(),
        "/v1/clouds".into(),
    ] {
        let reply = site.get(&path, &token).await.ok(503);
        assert_eq!(reply.problem(), "aaa-unavailable", "{path}");
        assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    site.post("/v1/computes", &token, json!({"image": "a", "cloud": "one"})).await.ok(503).problem();
    let reply = crate::site::send(
        &site.admin,
        http::Request::get(format!("/v1/computes/{id}")).body(Body::empty()).unwrap(),
    )
    .await;
    reply.ok(200);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_503() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.get("/readyz", "").await.ok(200);
    site.engine.break_with(Some("the disk is full"));
    let reply = site.post("/v1/computes", &token, json!({"image": "a", "cloud": "one"})).await.ok(503);
    assert_eq!(reply.problem(), "store-unavailable");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let reply = site.get("/readyz", "").await.ok(503);
    assert!(reply.json["reasons"][0].as_str().unwrap().contains("store"), "{}", reply.text);
    site.get("/healthz", "").await.ok(200);
    site.engine.break_with(None);
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_that_tells_nothing_and_names_its_log_line() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.set(|switches| &switches.policy_panics, true);
    let reply = site.ask("GET", "/v1/me", &token, &[("x-request-id", "find-me")], None).await.ok(500);
    assert_eq!(reply.problem(), "internal");
    assert_eq!(reply.json["instance"], "urn:archipel:request:find-me");
    assert!(!reply.text.contains("the policy panics"));
}

#[tokio::test]
async fn more_requests_than_the_site_may_work_on_are_429() {
    let site = TestSite::start_with(ApiLimits { requests: 0, ..ApiLimits::default() }).await;
    let reply = site.get("/v1/tokens", "").await.ok(429);
    assert_eq!(reply.problem(), "too-many-requests");
    assert_eq!(reply.header("retry-after"), "1");
    site.get("/healthz", "").await.ok(200);
}

#[tokio::test]
async fn a_head_has_no_body_and_the_status_of_its_get() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let reply = site.ask("HEAD", "/v1/computes", &token, &[], None).await.ok(200);
    assert!(reply.text.is_empty());
    let reply = site.ask("HEAD", "/v1/nothing", &token, &[], None).await.ok(404);
    assert!(reply.text.is_empty());
}

#[tokio::test]
async fn ids_and_traces_come_back() {
    let site = TestSite::start().await;
    let sent = [
        ("x-request-id", "mine-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let reply = site.ask("GET", "/v1/nothing", "", &sent, None).await.ok(401);
    assert_eq!(reply.header("x-request-id"), "mine-1");
    assert!(reply.header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    let reply = site
        .ask("GET", "/healthz", "", &[("x-request-id", "bad id \u{7f}".trim_end_matches('\u{7f}'))], None)
        .await
        .ok(200);
    assert_eq!(reply.header("x-request-id").len(), 36);
}

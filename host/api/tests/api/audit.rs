//! Who did what, as it is recorded, asked for and verified.

use archipel_api::{ApiLimits, AuditSettings, ClientAddress};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::site::{TestSite, send};

/// All records that a filter finds.
async fn records(site: &TestSite, filter: &str) -> Vec<Value> {
    let admin = site.token("admin").await;
    let mut path = format!("/v1/admin/audit?limit=1000&{filter}");
    let mut all = Vec::new();
    loop {
        let reply = site.get(&path, &admin).await.ok(200);
        all.extend(reply.json["items"].as_array().unwrap().clone());
        match reply.json["next"].as_str() {
            Some(next) => path = format!("/v1/admin/audit?limit=1000&{filter}&cursor={next}"),
            None => return all,
        }
    }
}

fn one<'a>(records: &'a [Value], operation: &str, outcome: &str) -> &'a Value {
    let mut found =
        records.iter().filter(|record| record["operation"] == operation && record["outcome"] == outcome);
    let one = found.next().unwrap_or_else(|| panic!("no {operation} {outcome} in {records:#?}"));
    assert!(found.next().is_none(), "{operation} {outcome} twice in {records:#?}");
    one
}

#[tokio::test]
async fn whatever_changes_something_is_recorded_with_who_what_and_which_plugin() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let body = json!({"cloud": "one", "image": "debian", "vcpu": 2, "user_data": "very-secret-script"});
    let request = Request::post("/v1/computes")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("prefer", "wait=20")
        .header("x-request-id", "walk-1")
        .extension(ClientAddress("192.0.2.9".into()))
        .body(Body::from(body.to_string()))
        .unwrap();
    let id = send(&site.router, request).await.ok(201).id();
    let path = format!("/v1/computes/{id}");
    site.ask("PATCH", &path, &token, &[], Some(json!({"labels": {"a": "b"}}))).await.ok(200);
    site.ask("DELETE", &format!("{path}?dry_run=true"), &token, &[], None).await.ok(200);
    site.ask("DELETE", &path, &token, &[], None).await.ok(202);
    site.ask("DELETE", "/v1/tokens/current", &token, &[], None).await.ok(204);

    let of_order = records(&site, &format!("order={id}")).await;
    assert_eq!(of_order.len(), 3, "{of_order:#?}");
    let created = one(&of_order, "create-compute", "allowed");
    assert_eq!(created["who"]["subject"], "alice");
    assert_eq!(
        (&created["who"]["issuer"], &created["who"]["group"]),
        (&json!("urn:test"), &json!("research"))
    );
    assert_eq!((&created["address"], &created["request"]), (&json!("192.0.2.9"), &json!("walk-1")));
    assert_eq!((&created["kind"], &created["cloud"]), (&json!("compute"), &json!("one")));
    assert_eq!(created["door"], "public");
    assert_eq!(
        created["decided_by"],
        json!([{"plugin": "policy", "digest": "c0ffee", "policy": "a"}]),
        "which plugin, and which of its versions"
    );
    one(&of_order, "update-compute", "allowed");
    one(&of_order, "delete-compute", "allowed");
    let all = records(&site, "").await;
    let login = all.iter().find(|record| record["operation"] == "create-token").unwrap();
    assert_eq!((&login["outcome"], &login["who"]["subject"]), (&json!("allowed"), &json!("alice")));
    one(&all, "revoke-token", "allowed");
    let text = serde_json::to_string(&all).unwrap();
    for secret in ["very-secret-script", "alice-secret", "admin-secret", token.as_str()] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert_eq!(records(&site, "address=192.0.2.9").await.len(), 1);
    assert_eq!(records(&site, "outcome=denied").await.len(), 0);
    assert_eq!(records(&site, "operation=create-compute&subject=alice&issuer=urn:test").await.len(), 1);
    assert_eq!(records(&site, "to=2001-01-01T00:00:00Z").await.len(), 0);
    assert!(records(&site, "from=2001-01-01T00:00:00%2B01:00").await.len() > 5);
}

#[tokio::test]
async fn what_is_not_allowed_is_recorded_with_the_plugin_that_said_so() {
    let site = TestSite::start().await;
    let (alice, bob, mallory) =
        (site.token("alice").await, site.token("bob").await, site.token("mallory").await);
    let body = json!({"cloud": "one", "image": "debian"});
    let reply = site.post("/v1/computes", &mallory, body.clone()).await.ok(403);
    assert!(reply.json.get("denied_by").is_none(), "for the audit alone: {}", reply.text);
    site.get("/v1/admin/plugins", &mallory).await.ok(403);
    let id = site.compute(&alice).await.id();
    // It looks like nothing that exists, and is known to the audit as what it is.
    site.ask("DELETE", &format!("/v1/computes/{id}"), &bob, &[], None).await.ok(404);
    site.post("/v1/computes", &alice, json!({"cloud": "nine", "image": "debian"})).await.ok(422);
    let all = records(&site, "").await;
    let denied = one(&all, "create-compute", "denied");
    assert_eq!(denied["reason"], "mallory makes nothing here; ask for a role");
    assert_eq!(denied["decided_by"][0]["plugin"], "policy");
    assert_eq!((&denied["status"], &denied["who"]["subject"]), (&json!(403), &json!("mallory")));
    one(&all, "list-plugins", "denied");
    let hidden = one(&all, "delete-compute", "denied");
    assert_eq!((&hidden["order"], &hidden["status"]), (&json!(id), &json!(404)));
    let refused = one(&all, "create-compute", "refused");
    assert_eq!((&refused["status"], &refused["who"]["subject"]), (&json!(422), &json!("alice")));
    let many = json!({"orders": [
        {"kind": "compute", "cloud": "one", "image": "debian"},
        {"kind": "volume", "cloud": "one", "size_gib": 1},
    ]});
    site.post("/v1/orders", &alice, many.clone()).await.ok(200);
    site.post("/v1/orders", &mallory, many).await.ok(200);
    let bulk = records(&site, "operation=create-orders").await;
    let allowed: Vec<&Value> = bulk.iter().filter(|record| record["outcome"] == "allowed").collect();
    assert_eq!(allowed.len(), 2, "one for each order: {bulk:#?}");
    assert_eq!((&allowed[0]["kind"], &allowed[1]["kind"]), (&json!("compute"), &json!("volume")));
    let denied = one(&bulk, "create-orders", "denied");
    assert_eq!((&denied["count"], &denied["who"]["subject"]), (&json!(2), &json!("mallory")));
}

#[tokio::test]
async fn those_who_are_not_known_cannot_fill_the_disk() {
    let settings =
        AuditSettings { unauthenticated_per_minute: 3, denials_per_minute: 2, ..AuditSettings::default() };
    let site = TestSite::start_audited(ApiLimits::default(), settings).await;
    let mallory = site.token("mallory").await;
    for number in 0..40 {
        let request = Request::get("/v1/me")
            .header("authorization", "Bearer guessed")
            .extension(ClientAddress(format!("198.51.100.{number}")))
            .body(Body::empty())
            .unwrap();
        send(&site.router, request).await.ok(401);
        site.get("/v1/admin/plugins", &mallory).await.ok(403);
    }
    let wrong = json!({"credentials": {"username": "alice", "password": "my-real-password"}});
    site.post("/v1/tokens", "", wrong).await.ok(401);
    assert_eq!(records(&site, "outcome=denied").await.len(), 5);
    site.audit.flush().await;
    let denied = records(&site, "outcome=denied").await;
    assert_eq!(denied.len(), 7, "{denied:#?}");
    let counted: Vec<&Value> = denied.iter().filter(|record| record["count"] != 1).collect();
    let unknown = counted.iter().find(|record| record["who"].is_null()).unwrap();
    assert_eq!(unknown["count"], 38, "37 and the login");
    assert_eq!(
        (&unknown["operation"], unknown["addresses"].as_array().unwrap().len()),
        (&json!("several"), 8)
    );
    let known = counted.iter().find(|record| record["who"]["subject"] == "mallory").unwrap();
    assert_eq!((&known["count"], &known["operation"]), (&json!(38), &json!("list-plugins")));
    assert!(!serde_json::to_string(&denied).unwrap().contains("my-real-password"));
}

#[tokio::test]
async fn an_auditor_reads_the_audit_and_nothing_else() {
    let site = TestSite::start().await;
    let (auditor, alice) = (site.token("auditor").await, site.token("alice").await);
    site.compute(&alice).await;
    let list = site.get("/v1/admin/audit?limit=1", &auditor).await.ok(200);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    assert!(list.header("link").contains("rel=\"next\""));
    for path in ["/v1/admin/audit/head", "/v1/admin/audit/verification", "/v1/admin/audit/addresses/10.0.0.7"]
    {
        site.get(path, &auditor).await.ok(200);
        assert_eq!(site.get(path, &alice).await.ok(403).problem(), "forbidden", "{path}");
    }
    for path in ["/v1/admin/plugins", "/v1/admin/usage", "/v1/orders", "/v1/usage", "/v1/me"] {
        site.get(path, &auditor).await.ok(403);
    }
    // A cursor is good for who got it.
    let cursor = list.json["next"].as_str().unwrap();
    let admin = site.token("admin").await;
    let other = site.get(&format!("/v1/admin/audit?limit=1&cursor={cursor}"), &admin).await.ok(400);
    assert_eq!(other.problem(), "bad-cursor");
    // Who looks into the audit is recorded.
    let looks = records(&site, "subject=auditor&issuer=urn:test&operation=list-address-uses").await;
    assert_eq!((looks.len(), &looks[0]["outcome"]), (1, &json!("allowed")));
    for wrong in ["from=yesterday", "order=x", "outcome=maybe", "address=here", "by=user"] {
        let reply = site.get(&format!("/v1/admin/audit?{wrong}"), &auditor).await.ok(400);
        assert_eq!(reply.problem(), "bad-query", "{wrong}");
    }
    for wrong in ["head=5", "head=5:xyz", "cursor=x"] {
        site.get(&format!("/v1/admin/audit/verification?{wrong}"), &auditor).await.ok(400);
    }
}

#[tokio::test]
async fn reads_are_recorded_where_that_is_asked_for() {
    for (reads, expected) in [(false, 0), (true, 1)] {
        let settings = AuditSettings { reads, ..AuditSettings::default() };
        let site = TestSite::start_audited(ApiLimits::default(), settings).await;
        let alice = site.token("alice").await;
        site.get("/v1/me", &alice).await.ok(200);
        assert_eq!(records(&site, "operation=get-me").await.len(), expected);
    }
}

#[tokio::test]
async fn the_chain_is_verified_and_an_alteration_found() {
    use archipel_store::Engine as _;
    use archipel_store::engine::{Commit, Range};

    let site = TestSite::start().await;
    let alice = site.token("alice").await;
    for _ in 0..5 {
        site.compute(&alice).await;
    }
    let admin = site.token("admin").await;
    let head = site.get("/v1/admin/audit/head", &admin).await.ok(200).json;
    let noted = format!("{}:{}", head["sequence"], head["hash"].as_str().unwrap());
    let path = format!("/v1/admin/audit/verification?head={noted}");
    let good = site.get(&path, &admin).await.ok(200).json;
    assert_eq!(
        (&good["ok"], &good["head_holds"], &good["broken"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    assert!(good["records"].as_u64().unwrap() >= 7, "{good}");
    let other = format!("{}:{}", head["sequence"], "0".repeat(64));
    let other = site.get(&format!("/v1/admin/audit/verification?head={other}"), &admin).await.ok(200).json;
    assert_eq!((&other["ok"], &other["head_holds"]), (&json!(false), &json!(false)));

    let (key, entry) = site.engine.range(&Range::prefix(b"ad/", 3)).await.unwrap().pop().unwrap();
    let text = String::from_utf8_lossy(&entry[32..]).replace("alice", "carol");
    let mut commit = Commit::new();
    commit.put(key, [&entry[..32], text.as_bytes()].concat());
    site.engine.commit(commit).await.unwrap();
    let broken = site.get(&path, &admin).await.ok(200).json;
    assert_eq!(broken["ok"], false);
    assert!(broken["broken"]["what"].as_str().unwrap().contains("was changed"), "{broken}");
}

#[tokio::test]
async fn the_administrators_socket_is_recorded_too() {
    let site = TestSite::start().await;
    let body = json!({"cloud": "one", "image": "debian"}).to_string();
    let create =
        Request::post("/v1/computes").header("content-type", "application/json").body(body.into()).unwrap();
    send(&site.admin, create).await.ok(201);
    let reload = Request::post("/v1/admin/config/actions/reload").body(Body::empty()).unwrap();
    send(&site.admin, reload).await.ok(200);
    let all = records(&site, "").await;
    for operation in ["create-compute", "reload-config"] {
        let record = one(&all, operation, "allowed");
        assert_eq!((&record["door"], &record["who"]["name"]), (&json!("admin"), &json!("local:admin")));
        assert_eq!((&record["address"], &record["decided_by"]), (&Value::Null, &json!([])));
    }
    let quarantine =
        Request::post("/v1/admin/plugins/policy/actions/quarantine").body(Body::empty()).unwrap();
    send(&site.admin, quarantine).await.ok(200);
    let all = records(&site, "").await;
    assert_eq!(one(&all, "quarantine-plugin", "allowed")["on"], "policy");
}

#[tokio::test]
async fn an_order_that_is_given_up_is_named_in_the_audit() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    let id = site.compute(&alice).await.id();
    site.set(|switches| &switches.cloud_is_away, true);
    site.ask("DELETE", &format!("/v1/computes/{id}"), &alice, &[], None).await.ok(202);
    let path = format!("/v1/admin/orders/{id}/actions/forget");
    site.post(&path, &admin, json!({"reason": "scrapped"})).await.ok(200);
    site.post(&path, &admin, json!({"reason": "again"})).await.ok(409);
    let of_order = records(&site, &format!("order={id}&operation=forget-order")).await;
    let outcomes: Vec<&Value> = of_order.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["allowed", "allowed", "refused"], "{of_order:#?}");
    assert_eq!(of_order[0]["who"]["subject"], "admin");
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_recorded() {
    let site = TestSite::start().await;
    let admin = site.token("admin").await;
    site.engine.break_with(Some("the disk is full"));
    let reply = site.ask("POST", "/v1/admin/plugins/policy/actions/quarantine", &admin, &[], None).await;
    assert_eq!((reply.status, reply.problem()), (503, "store-unavailable"));
    site.engine.break_with(None);
    let policy = site.get("/v1/admin/plugins/policy", &admin).await.ok(200);
    assert_ne!(policy.json["state"], "quarantined");
}

#[tokio::test]
async fn who_had_an_address_is_one_question() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    let id = site.compute(&alice).await.id();
    let who = site.get("/v1/admin/audit/addresses/10.0.0.7", &admin).await.ok(200);
    let items = who.json["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", who.text);
    assert_eq!((&items[0]["order"], &items[0]["owner"]["subject"]), (&json!(id), &json!("alice")));
    assert_eq!((&items[0]["home_site"], &items[0]["until"]), (&json!("site-a.example.org"), &Value::Null));
    let long_ago = "/v1/admin/audit/addresses/10.0.0.7?at=2001-01-01T00:00:00Z";
    assert_eq!(site.get(long_ago, &admin).await.ok(200).json["items"], json!([]));
    site.get("/v1/admin/audit/addresses/nonsense", &admin).await.ok(404).problem();
    site.get("/v1/admin/audit/addresses/10.0.0.7?at=x", &admin).await.ok(400).problem();
}

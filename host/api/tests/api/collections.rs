//! Making, reading, listing, changing and deleting orders.

use archipel_model::OrderId;
use serde_json::{Value, json};

use crate::site::{TestSite, past};

const FIELDS: [&str; 25] = [
    "id",
    "kind",
    "href",
    "name",
    "site",
    "cloud",
    "state",
    "unreachable",
    "waiting_for",
    "power",
    "fault",
    "spec",
    "instance",
    "owner",
    "group",
    "labels",
    "lease",
    "deadline",
    "on_quota",
    "depends_on",
    "origin",
    "created_at",
    "updated_at",
    "version",
    "",
];

#[tokio::test]
async fn an_order_has_the_fields_of_the_contract_in_their_order_and_no_secrets() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let reply = site.compute(&token).await;
    let names: Vec<&str> = reply.json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, FIELDS[..24]);
    assert_eq!(reply.json["state"], "fulfilled");
    assert_eq!(reply.header("preference-applied"), "wait=20");
    assert_eq!(reply.header("location"), reply.json["href"]);
    assert_eq!(reply.header("etag"), format!("\"{}\"", reply.json["version"]));
    let instance: Vec<&str> =
        reply.json["instance"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(instance, ["id", "status", "cloud_state", "addresses", "allocation", "observed_at"]);
    assert_eq!(reply.json["owner"], json!({"issuer": "urn:test", "subject": "alice", "name": "ALICE"}));
    assert_eq!(reply.json["group"], "research");
    assert!(!reply.text.contains("the driver's own"));
}

#[tokio::test]
async fn a_create_without_waiting_answers_at_once() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let reply = site
        .post("/v1/volumes", &token, json!({"cloud": "one", "size_gib": 1, "labels": {"a": "b"}}))
        .await
        .ok(201);
    assert_eq!(reply.json["state"], "open");
    assert_eq!(reply.json["labels"], json!({"a": "b"}));
    assert_eq!(reply.header("preference-applied"), "");
    let read = site.get(reply.header("location"), &token).await.ok(200);
    assert_eq!(read.json["id"], reply.json["id"]);
    site.get(&format!("/v1/orders/{}", reply.id()), &token).await.ok(200);
}

#[tokio::test]
async fn what_cannot_be_is_422_with_its_own_type() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    for (path, body, code) in [
        ("/v1/computes", json!({"image": "a", "cloud": "nine"}), "unknown-cloud"),
        ("/v1/computes", json!({"image": "a", "cloud": "one", "site": "elsewhere.org"}), "unknown-site"),
        ("/v1/computes", json!({"image": "a", "cloud": "one", "deadline": past()}), "deadline-passed"),
        ("/v1/volumes", json!({"size_gib": 1, "cloud": "two"}), "unsupported"),
        ("/v1/computes", json!({"image": "a"}), "invalid"),
        ("/v1/attachments", json!({"compute": "x", "volume": "y", "cloud": "one"}), "invalid"),
        ("/v1/networks", json!({"cidr": "nonsense", "cloud": "one"}), "invalid"),
    ] {
        let reply = site.post(path, &token, body.clone()).await.ok(422);
        assert_eq!(reply.problem(), code, "{body} {}", reply.text);
    }
}

#[tokio::test]
async fn unknown_not_yours_and_of_another_kind_look_exactly_the_same() {
    let site = TestSite::start().await;
    let (alice, bob) = (site.token("alice").await, site.token("bob").await);
    let id = site.compute(&alice).await.id();
    let unknown = OrderId::generate();
    let mut seen: Vec<Value> = Vec::new();
    for (path, token) in [
        (format!("/v1/computes/{id}"), &bob),
        (format!("/v1/computes/{unknown}"), &bob),
        (format!("/v1/volumes/{id}"), &alice),
        ("/v1/computes/not-an-id".into(), &alice),
        (format!("/v1/computes/{}", id.to_uppercase()), &alice),
        (format!("/v1/orders/{id}"), &bob),
        (format!("/v1/orders/{id}/events"), &bob),
    ] {
        for method in ["GET", "DELETE"] {
            if path.ends_with("/events") && method == "DELETE" {
                continue;
            }
            let reply = site.ask(method, &path, token, &[("x-request-id", "same")], None).await.ok(404);
            seen.push(reply.json);
        }
        if !path.ends_with("/events") {
            let reply =
                site.ask("PATCH", &path, token, &[("x-request-id", "same")], Some(json!({}))).await.ok(404);
            seen.push(reply.json);
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[tokio::test]
async fn reach_decides_what_is_seen_and_what_may_be_done() {
    let site = TestSite::start().await;
    let (alice, bob, carol, admin) = (
        site.token("alice").await,
        site.token("bob").await,
        site.token("carol").await,
        site.token("admin").await,
    );
    let id = site.compute(&alice).await.id();
    site.compute(&bob).await;
    let count = |reply: crate::site::Reply| reply.json["items"].as_array().unwrap().len();
    assert_eq!(count(site.get("/v1/computes", &alice).await.ok(200)), 1);
    assert_eq!(count(site.get("/v1/computes", &carol).await.ok(200)), 1, "her group's");
    assert_eq!(count(site.get("/v1/computes", &admin).await.ok(200)), 2);
    let path = format!("/v1/computes/{id}");
    site.get(&path, &carol).await.ok(200);
    site.get(&path, &admin).await.ok(200);
    let reply = site.ask("DELETE", &path, &carol, &[], None).await.ok(403);
    assert_eq!(reply.problem(), "forbidden", "she sees it, so she is told why");
    site.ask("DELETE", &path, &bob, &[], None).await.ok(404).problem();
    site.ask("DELETE", &path, &admin, &[], None).await.ok(202);
}

#[tokio::test]
async fn a_refusal_carries_the_policys_reason() {
    let site = TestSite::start().await;
    let token = site.token("mallory").await;
    let reply = site.post("/v1/computes", &token, json!({"image": "a", "cloud": "one"})).await.ok(403);
    assert_eq!(reply.problem(), "forbidden");
    assert!(reply.json["detail"].as_str().unwrap().contains("ask for a role"), "{}", reply.text);
    let dave = site.token("dave").await;
    let body = json!({"image": "a", "cloud": "one", "group": "teaching"});
    site.post("/v1/computes", &dave, body).await.ok(403).problem();
    let body = json!({"image": "a", "cloud": "one", "group": "research"});
    assert_eq!(site.post("/v1/computes", &dave, body).await.ok(201).json["group"], "research");
}

#[tokio::test]
async fn obligations_bind_what_is_made_and_what_is_shown() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.switches.max_lease_s.store(3600, std::sync::atomic::Ordering::SeqCst);
    let reply = site.compute(&token).await;
    assert!(reply.json["lease"]["expires_at"].is_string());
    site.set(|switches| &switches.redacts, true);
    let reply = site.get(&format!("/v1/computes/{}", reply.id()), &token).await.ok(200);
    assert_eq!(reply.json["owner"], json!({"issuer": "urn:test", "subject": "alice"}));
    let list = site.get("/v1/computes", &token).await.ok(200);
    assert!(list.json["items"][0]["owner"].get("name").is_none());
}

#[tokio::test]
async fn a_list_is_walked_page_by_page_with_its_filters() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let mut made = Vec::new();
    for at in 0..5 {
        let body = json!({"cloud": "one", "size_gib": 1, "labels": {"parity": if at % 2 == 0 { "even" } else { "odd" }}});
        made.push(site.post("/v1/volumes", &token, body).await.ok(201).id());
    }
    let mut path = "/v1/volumes?limit=2".to_owned();
    let mut walked: Vec<String> = Vec::new();
    loop {
        let page = site.get(&path, &token).await.ok(200);
        walked.extend(
            page.json["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        assert_eq!(page.json["incomplete"], json!([]));
        let Some(next) = page.json["next"].as_str() else { break };
        let link = page.header("link");
        path = link.strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
        assert!(path.contains("limit=2") && path.contains(next), "{link}");
    }
    assert_eq!(walked, made);

    let odd = site.get("/v1/orders?label=parity:odd&kind=volume&cloud=one", &token).await.ok(200);
    assert_eq!(odd.json["items"].as_array().unwrap().len(), 2);
    for none in [
        "label=parity:none",
        "cloud=two",
        "site=elsewhere.org",
        "unreachable=true",
        "state=stopped",
        "kind=network",
    ] {
        let reply = site.get(&format!("/v1/orders?{none}"), &token).await.ok(200);
        assert_eq!(reply.json["items"], json!([]), "{none}");
    }
    let first = site.get("/v1/volumes?limit=2", &token).await.ok(200);
    let cursor = first.json["next"].as_str().unwrap();
    for misuse in [
        format!("/v1/orders?limit=2&cursor={cursor}"),
        format!("/v1/volumes?limit=2&cloud=one&cursor={cursor}"),
    ] {
        assert_eq!(site.get(&misuse, &token).await.ok(400).problem(), "bad-cursor");
    }
    let bob = site.token("bob").await;
    site.get(&format!("/v1/volumes?limit=2&cursor={cursor}"), &bob).await.ok(400).problem();
    site.get(&format!("/v1/volumes?limit=3&cursor={cursor}"), &token).await.ok(200);
}

#[tokio::test]
async fn closed_orders_are_listed_only_when_asked_for() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let id = site.volume(&token).await.id();
    let path = format!("/v1/volumes/{id}");
    let reply = site.ask("DELETE", &path, &token, &[], None).await.ok(202);
    assert_eq!(reply.json["state"], "closing");
    assert!(!reply.header("etag").is_empty());
    let reply = site.ask("GET", &path, &token, &[("prefer", "wait=20")], None).await.ok(200);
    assert_eq!(reply.json["state"], "closed");
    site.ask("DELETE", &path, &token, &[], None).await.ok(204);
    let dry = site.ask("DELETE", &format!("{path}?dry_run=true"), &token, &[], None).await.ok(200);
    assert_eq!(dry.json, json!({"dry_run": true, "orders": []}));
    assert_eq!(site.get("/v1/volumes", &token).await.ok(200).json["items"], json!([]));
    let closed = site.get("/v1/volumes?state=closed&state=failed-on-request", &token).await.ok(200);
    assert_eq!(closed.json["items"][0]["id"], id);
}

#[tokio::test]
async fn dependants_stop_a_delete_and_a_cascade_takes_them_along() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let (compute, volume) = (site.compute(&token).await.id(), site.volume(&token).await.id());
    let body = json!({"cloud": "one", "compute": compute, "volume": volume});
    let attachment = site.post("/v1/attachments", &token, body).await.ok(201).id();
    let path = format!("/v1/computes/{compute}");
    let reply = site.ask("DELETE", &path, &token, &[], None).await.ok(409);
    assert_eq!(reply.problem(), "dependants");
    assert_eq!(reply.json["dependants"], json!([attachment]));
    let dry = site.ask("DELETE", &format!("{path}?dry_run=true"), &token, &[], None).await.ok(200);
    assert_eq!(dry.json["orders"], json!([attachment, compute]));
    site.get(&path, &token).await.ok(200);
    site.ask("DELETE", &format!("{path}?cascade=true"), &token, &[], None).await.ok(202);
    let reply = site.ask("GET", &path, &token, &[("prefer", "wait=20")], None).await.ok(200);
    assert_eq!(reply.json["state"], "closed");
    assert_eq!(
        site.get(&format!("/v1/attachments/{attachment}"), &token).await.ok(200).json["state"],
        "closed"
    );
}

#[tokio::test]
async fn a_networks_cascade_needs_if_match() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let network =
        site.post("/v1/networks", &token, json!({"cloud": "one", "cidr": "10.0.0.0/24"})).await.ok(201);
    let path = format!("/v1/networks/{}", network.id());
    let cascade = format!("{path}?cascade=true");
    let reply = site.ask("DELETE", &cascade, &token, &[], None).await.ok(428);
    assert_eq!(reply.problem(), "precondition-required");
    site.ask("DELETE", &cascade, &token, &[("if-match", "\"999\"")], None).await.ok(412).problem();
    site.ask("DELETE", &format!("{path}?dry_run=true"), &token, &[], None).await.ok(200);
    let reply = site.ask("DELETE", &cascade, &token, &[("if-match", "*")], None).await;
    assert!(matches!(reply.status, 202 | 204), "{}", reply.text);
}

#[tokio::test]
async fn a_refresh_asks_the_cloud() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let id = site.compute(&token).await.id();
    site.get(&format!("/v1/computes/{id}?refresh=true"), &token).await.ok(200);
    site.get(&format!("/v1/computes/{id}?refresh=false"), &token).await.ok(200);
}

#[tokio::test]
async fn a_bulk_request_gives_each_item_its_own_result() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let body = json!({"orders": [
        {"kind": "compute", "cloud": "one", "image": "debian"},
        {"kind": "volume", "cloud": "one", "size_gib": 1},
        {"kind": "attachment", "cloud": "one", "compute": "$0", "volume": "$1"},
        {"kind": "volume", "cloud": "one", "size_gib": "big"},
        {"kind": "cat"},
        {"kind": "volume", "cloud": "nine", "size_gib": 1},
        {"kind": "attachment", "cloud": "one", "compute": "$0", "volume": "$5"},
        7
    ]});
    let reply = site.post("/v1/orders", &token, body).await.ok(200);
    let results = reply.json["results"].as_array().unwrap();
    let statuses: Vec<u64> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 201, 201, 422, 422, 422, 422, 422], "{}", reply.text);
    assert_eq!(results[2]["order"]["spec"]["compute"], results[0]["order"]["id"]);
    assert_eq!(results[3]["problem"]["field"], "orders[3].size_gib");
    assert_eq!(results[5]["problem"]["type"], "urn:archipel:problem:unknown-cloud");
    for bad in [json!({"orders": []}), json!({"orders": {}}), json!({}), json!({"orders": [], "x": 1})] {
        site.post("/v1/orders", &token, bad).await.ok(422).problem();
    }
    let many: Vec<Value> = (0..1001).map(|_| json!({"kind": "volume"})).collect();
    site.post("/v1/orders", &token, json!({"orders": many})).await.ok(422).problem();
    let mallory = site.token("mallory").await;
    let reply = site
        .post("/v1/orders", &mallory, json!({"orders": [{"kind": "volume", "cloud": "one", "size_gib": 1}]}))
        .await
        .ok(200);
    assert_eq!(reply.json["results"][0]["status"], 403);
}

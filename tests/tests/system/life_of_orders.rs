//! Orders of every kind from the request to fulfilled, and back to nothing.

use archipel_tests::orders::{all, create, delete, id, reaches, small_compute};
use archipel_tests::site::Site;
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn each_kind_is_fulfilled_and_deleted() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();

    let network = create(&alice, "networks", &json!({"name": "n", "cidr": "10.7.0.0/24"})).await.unwrap();
    let on_it = json!({"name": "c", "image": "@cirros", "vcpu": 1, "ram_mib": 256, "networks": [{"order": id(&network)}]});
    let compute = create(&alice, "computes", &on_it).await.unwrap();
    let volume = create(&alice, "volumes", &json!({"name": "v", "size_gib": 2})).await.unwrap();
    let attached = json!({"compute": id(&compute), "volume": id(&volume)});
    let attachment = create(&alice, "attachments", &attached).await.unwrap();
    assert_eq!(compute["state"], "open");
    assert_eq!(compute["owner"]["subject"], "alice");

    let compute = reaches(&alice, id(&compute), "fulfilled").await.unwrap();
    assert!(compute["instance"]["allocation"]["ram_mib"].as_u64().unwrap() >= 256, "{compute}");
    let address = compute["instance"]["addresses"][0].as_str().unwrap();
    assert!(address.starts_with("10.7.0."), "{compute}");
    let volume = reaches(&alice, id(&volume), "fulfilled").await.unwrap();
    assert_eq!(volume["instance"]["allocation"]["disk_gib"], 2, "{volume}");
    let attachment = reaches(&alice, id(&attachment), "fulfilled").await.unwrap();
    assert_eq!(attachment["depends_on"].as_array().unwrap().len(), 2);
    reaches(&alice, id(&network), "fulfilled").await.unwrap();

    for order in [&attachment, &volume, &compute, &network] {
        alice.delete(&format!("/v1/orders/{}", id(order))).await.unwrap().success().unwrap();
        reaches(&alice, id(order), "closed").await.unwrap();
    }
    assert!(all(&alice, "").await.unwrap().is_empty());
    assert_eq!(all(&alice, "&state=closed").await.unwrap().len(), 4);
    let again = alice.delete(&format!("/v1/orders/{}", id(&compute))).await.unwrap();
    assert_eq!(again.status(), 204);
}

#[tokio::test]
async fn an_attachment_waits_for_what_it_rests_on() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] =
        json!({"latency_ms": 1, "boot_ms": {"compute": 1500, "volume": 10, "attachment": 10}});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let compute = create(&alice, "computes", &small_compute("slow")).await.unwrap();
    let volume = create(&alice, "volumes", &json!({"size_gib": 1})).await.unwrap();
    let attachment = create(&alice, "attachments", &json!({"compute": id(&compute), "volume": id(&volume)}))
        .await
        .unwrap();
    let waiting = reaches(&alice, id(&attachment), "waiting").await.unwrap();
    assert!(waiting["waiting_for"].to_string().contains(id(&compute)), "{waiting}");
    reaches(&alice, id(&attachment), "fulfilled").await.unwrap();
    reaches(&alice, id(&compute), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn what_others_rest_on_is_deleted_only_with_them() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let made = bulk(
        &alice,
        json!([
            {"kind": "compute", "image": "@cirros", "vcpu": 1, "ram_mib": 256},
            {"kind": "volume", "size_gib": 1},
            {"kind": "attachment", "compute": "$0", "volume": "$1"},
        ]),
    )
    .await;
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let path = format!("/v1/computes/{}", id(&made[0]));
    let refused = alice.delete(&path).await.unwrap();
    assert_eq!(refused.status(), 409);
    let problem = refused.json().unwrap();
    assert_eq!(problem["type"], "urn:archipel:problem:dependants");
    assert_eq!(problem["dependants"], json!([id(&made[2])]));

    let dry = alice.delete(&format!("{path}?cascade=true&dry_run=true")).await.unwrap().success().unwrap();
    let listed = dry["orders"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{dry}");
    reaches(&alice, id(&made[0]), "fulfilled").await.unwrap();

    delete(&alice, id(&made[0])).await.unwrap().success().unwrap();
    reaches(&alice, id(&made[0]), "closed").await.unwrap();
    reaches(&alice, id(&made[2]), "closed").await.unwrap();
    reaches(&alice, id(&made[1]), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn a_networks_cascade_asks_to_be_sure() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let made = bulk(
        &alice,
        json!([
            {"kind": "network", "cidr": "10.8.0.0/24"},
            {"kind": "compute", "image": "@cirros", "vcpu": 1, "ram_mib": 256, "networks": [{"order": "$0"}]},
        ]),
    )
    .await;
    reaches(&alice, id(&made[1]), "fulfilled").await.unwrap();
    let path = format!("/v1/networks/{}?cascade=true", id(&made[0]));
    assert_eq!(alice.delete(&path).await.unwrap().status(), 428);
    let stale = [("if-match", "\"999999\"")];
    assert_eq!(alice.send(Method::DELETE, &path, &stale, None).await.unwrap().status(), 412);
    let seen = alice.get(&format!("/v1/networks/{}", id(&made[0]))).await.unwrap();
    let fresh = [("if-match", seen.header("etag").unwrap())];
    alice.send(Method::DELETE, &path, &fresh, None).await.unwrap().success().unwrap();
    for order in &made {
        reaches(&alice, id(order), "closed").await.unwrap();
    }
}

#[tokio::test]
async fn a_dependency_that_fails_fails_what_waits_for_it() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] = json!({
        "latency_ms": 1,
        "boot_ms": 10,
        "faults": [{"kind": "compute", "mode": "quota-exceeded", "names": ["doomed"], "message": "no room for it"}],
    });
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let made = bulk(
        &alice,
        json!([
            {"kind": "compute", "name": "doomed", "image": "@cirros", "vcpu": 1, "ram_mib": 256},
            {"kind": "volume", "size_gib": 1},
            {"kind": "attachment", "compute": "$0", "volume": "$1"},
        ]),
    )
    .await;
    let compute = reaches(&alice, id(&made[0]), "failed-on-request").await.unwrap();
    assert_eq!(compute["fault"]["kind"], "quota-exceeded");
    assert!(compute["fault"]["message"].as_str().unwrap().contains("no room for it"), "{compute}");
    let attachment = reaches(&alice, id(&made[2]), "failed-on-request").await.unwrap();
    assert_eq!(attachment["fault"]["code"], "dependency-failed");
    assert_eq!(attachment["fault"]["order"], id(&made[0]));
    reaches(&alice, id(&made[1]), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn late_visibility_and_lost_answers_make_one_instance_each() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] = json!({
        "latency_ms": 1,
        "boot_ms": 10,
        "visibility_ms": 900,
        "faults": [{"operation": "request", "mode": "answer-lost", "first": 1}],
    });
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut made = Vec::new();
    for n in 0..8 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let quota = alice.get("/v1/clouds/emulated/quota").await.unwrap().success().unwrap();
    let instances =
        quota["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "instances").unwrap();
    assert_eq!(instances["used"], 8, "{quota}");
}

/// Bulk; every item must be accepted.
async fn bulk(client: &archipel_client::Client, items: Value) -> Vec<Value> {
    let answer = client.post("/v1/orders", &json!({ "orders": items })).await.unwrap().success().unwrap();
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| {
            assert_eq!(result["status"], 201, "{result}");
            result["order"].clone()
        })
        .collect()
}

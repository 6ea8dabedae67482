//! Clouds and what they offer.

use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn clouds_show_driver_interfaces_and_health() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let reply = site.get("/v1/clouds", &token).await.ok(200);
    assert_eq!(reply.json["items"].as_array().unwrap().len(), site.clouds);
    let one = site.get("/v1/clouds/one", &token).await.ok(200);
    assert_eq!(
        one.json["interfaces"],
        json!(["compute", "volume", "network", "attachment", "compute-power", "quota", "spec", "image"])
    );
    assert_eq!(one.json["actions"], json!(["pause", "resume", "stop", "start", "reboot"]));
    assert_eq!(site.get("/v1/clouds/two", &token).await.ok(200).json["actions"], json!([]));
    assert_eq!(one.json["health"]["status"], "up");
    assert_eq!(one.json["state"], "active");
    for path in ["/v1/clouds/nine", "/v1/clouds/nine/specs", "/v1/clouds/One", "/v1/clouds/%2e%2e/quota"] {
        assert_eq!(site.get(path, &token).await.ok(404).problem(), "not-found");
    }
}

#[tokio::test]
async fn what_a_cloud_offers_is_asked_of_it() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    assert_eq!(site.get("/v1/clouds/one/specs", &token).await.ok(200).json["items"][0]["id"], "small");
    assert_eq!(site.get("/v1/clouds/one/specs/small", &token).await.ok(200).json["vcpu"], 1);
    site.get("/v1/clouds/one/specs/huge", &token).await.ok(404).problem();
    assert_eq!(site.get("/v1/clouds/one/images", &token).await.ok(200).json["items"][0]["id"], "debian");
    site.get("/v1/clouds/one/images/debian", &token).await.ok(200);
    site.get("/v1/clouds/one/images/none", &token).await.ok(404).problem();
    assert_eq!(site.get("/v1/clouds/one/networks", &token).await.ok(200).json["items"][0]["shared"], true);
    site.compute(&token).await;
    let quota = site.get("/v1/clouds/one/quota", &token).await.ok(200);
    assert_eq!(quota.json["entries"][0], json!({"name": "vcpu", "total": 100, "used": 10}));
    assert_eq!(quota.json["shared"], true);
    assert_eq!(quota.json["own"]["instances"], 1);
    assert_eq!(quota.json["own"]["vcpu"], 2);
    for what in ["specs", "images", "networks", "quota"] {
        let reply = site.get(&format!("/v1/clouds/two/{what}"), &token).await.ok(422);
        assert_eq!(reply.problem(), "unsupported", "{what}");
    }
}

#[tokio::test]
async fn a_cloud_that_is_away_is_503_and_one_that_refuses_422() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.set(|switches| &switches.cloud_is_away, true);
    for path in [
        "/v1/clouds/one/specs",
        "/v1/clouds/one/images/debian",
        "/v1/clouds/one/networks",
        "/v1/clouds/one/quota",
    ] {
        let reply = site.get(path, &token).await.ok(503);
        assert_eq!(reply.problem(), "unavailable");
        assert_eq!(reply.header("retry-after"), "7");
    }
    site.get("/readyz", "").await.ok(200);
    site.set(|switches| &switches.cloud_is_away, false);
    site.set(|switches| &switches.cloud_refuses, true);
    let reply = site.get("/v1/clouds/one/specs", &token).await.ok(422);
    assert_eq!(reply.problem(), "cloud-refused");
    assert_eq!(reply.json["detail"], "the project is locked");
    let nobody = site.token("nobody").await;
    let reply = site.get("/v1/clouds/one/specs", &nobody).await.ok(403);
    assert_eq!(reply.problem(), "forbidden", "the mapper's refusal is about who asks");
}

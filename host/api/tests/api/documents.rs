//! The OpenAPI document, the page made of it, and the figures.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::site::TestSite;

fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in ["get", "post", "patch", "delete", "put"] {
            if let Some(operation) = item.get(method) {
                all.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    all
}

#[tokio::test]
async fn every_operation_is_served_and_guarded_as_documented() {
    let site = TestSite::start().await;
    let api = site.get("/openapi.json", "").await.ok(200).json;
    assert_eq!(api["openapi"], "3.1.0");
    let token = site.token("alice").await;
    let mut ids = BTreeSet::new();
    let all = operations(&api);
    assert!(all.len() >= 45, "{}", all.len());
    for (method, path, operation) in all {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id.clone()), "{id} twice");
        let concrete = path.replace("{cloud}", "one").replace("{id}", "x").replace("{name}", "x");
        let is_private = operation["security"][0].get("bearer").is_some();
        let reply = site.ask(&method, &concrete, "", &[], None).await;
        assert_eq!(reply.status == 401, is_private, "{method} {path} without a token is {}", reply.status);
        let reply = site.ask(&method, &concrete, &token, &[], None).await;
        assert_ne!(reply.status, 405, "{method} {path}");
        assert!(
            operation["responses"].get(reply.status.to_string()).is_some(),
            "{method} {path} gives an undocumented {}",
            reply.status
        );
        if is_private {
            for status in ["400", "401", "403", "429", "500", "503"] {
                let content = &operation["responses"][status]["content"]["application/problem+json"];
                assert_eq!(
                    content["schema"]["$ref"], "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
        }
        if operation.get("requestBody").is_some() && is_private {
            for status in ["408", "413", "415", "422"] {
                assert!(operation["responses"].get(status).is_some(), "{method} {path} {status}");
            }
        }
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    let api = archipel_api::openapi_json();
    let links = &api["paths"]["/v1/computes"]["post"]["responses"]["201"]["links"];
    assert_eq!(links["get-compute"]["operationId"], "get-compute");
    let text = api.to_string();
    let named: BTreeSet<&str> =
        text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let there = api["components"]["schemas"].as_object().unwrap();
    for name in &named {
        assert!(there.contains_key(*name), "{name} is named and not there");
    }
    for name in [
        "ComputeCreate",
        "VolumeCreate",
        "NetworkCreate",
        "AttachmentCreate",
        "BulkCreate",
        "PatchOrder",
        "LoginRequest",
    ] {
        assert_eq!(there[name]["additionalProperties"], Value::Bool(false), "{name}");
    }
}

#[tokio::test]
async fn the_docs_are_one_page_that_fetches_nothing() {
    let site = TestSite::start().await;
    let page = site.get("/docs", "").await.ok(200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(
        page.text.contains("/v1/computes/{id}") && page.text.contains("urn:archipel:problem:aaa-unavailable")
    );
    assert!(
        !page.text.contains("<script") && !page.text.contains("http://") && !page.text.contains("https://")
    );
}

#[tokio::test]
async fn figures_are_open_metrics() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    site.compute(&token).await;
    site.get("/v1/computes/x", &token).await.ok(404);
    let reply = site.get("/metrics", "").await.ok(200);
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "archipel_http_requests_total{method=\"GET\",route=\"/v1/computes/{id}\",status=\"404\"} 1",
        "archipel_http_requests_total{method=\"POST\",route=\"/v1/computes\",status=\"201\"} 1",
        "archipel_order_transitions_total{state=\"fulfilled\"} 1",
        "archipel_plugin_state{plugin=\"policy\",state=\"live\"} 1",
        "archipel_ready 1",
    ] {
        assert!(reply.text.contains(line), "{line} is not in\n{}", reply.text);
    }
    assert!(reply.text.ends_with("# EOF\n"));
}

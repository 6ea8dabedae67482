//! What happened, as JSON.

use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn an_orders_events_tell_its_life_in_order() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let id = site.compute(&token).await.id();
    site.volume(&token).await;
    let reply = site.get(&format!("/v1/orders/{id}/events"), &token).await.ok(200);
    let items = reply.json["items"].as_array().unwrap();
    assert_eq!(items[0]["type"], "org.archipel.order.open.v1");
    assert_eq!(items.last().unwrap()["type"], "org.archipel.order.fulfilled.v1");
    for event in items {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "site-a.example.org");
        assert_eq!(event["subject"], id.as_str());
        assert!(event["time"].is_string() && event["data"]["state"].is_string(), "{event}");
        assert!(event.get("sequence").is_none() && event.get("owner").is_none());
    }
    assert_eq!(reply.json["next"], json!(null));
}

#[tokio::test]
async fn events_are_walked_and_then_followed_by_cursor_within_the_reach() {
    let site = TestSite::start().await;
    let (alice, bob, admin) = (site.token("alice").await, site.token("bob").await, site.token("admin").await);
    site.compute(&alice).await;
    let all = site.get("/v1/events", &alice).await.ok(200);
    let ids = |reply: &crate::site::Reply| -> Vec<String> {
        reply.json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = ids(&all);
    assert!(whole.len() >= 2);
    let mut walked = Vec::new();
    let mut path = "/v1/events?limit=1".to_owned();
    loop {
        let page = site.get(&path, &alice).await.ok(200);
        walked.extend(ids(&page));
        let Some(next) = page.json["next"].as_str() else { break };
        assert!(page.header("link").contains("rel=\"next\""));
        path = format!("/v1/events?limit=1&cursor={next}");
    }
    assert_eq!(walked, whole);
    let resume = all.json["resume"].as_str().unwrap();
    let later = format!("/v1/events?cursor={resume}");
    assert_eq!(ids(&site.get(&later, &alice).await.ok(200)), Vec::<String>::new());
    site.volume(&alice).await;
    let new = site.get(&later, &alice).await.ok(200);
    assert_eq!(new.json["items"][0]["data"]["kind"], "volume");

    assert_eq!(ids(&site.get("/v1/events", &bob).await.ok(200)), Vec::<String>::new());
    assert!(ids(&site.get("/v1/events", &admin).await.ok(200)).len() > whole.len());
    assert_eq!(site.get(&later, &bob).await.ok(400).problem(), "bad-cursor");
    let bent = format!("/v1/events?cursor=A{resume}");
    assert_eq!(site.get(&bent, &alice).await.ok(400).problem(), "bad-cursor");
}

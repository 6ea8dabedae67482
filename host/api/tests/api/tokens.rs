//! Logging in and out.

use serde_json::json;

use crate::site::TestSite;

#[tokio::test]
async fn the_ways_to_log_in_are_told_without_a_token() {
    let site = TestSite::start().await;
    let reply = site.get("/v1/tokens", "").await.ok(200);
    let binding = &reply.json["items"][0];
    assert_eq!(binding["name"], "local");
    assert_eq!(
        binding["fields"][1],
        json!({"name": "password", "label": "password", "secret": true, "required": true})
    );
    assert_eq!(reply.json["next"], json!(null));
}

#[tokio::test]
async fn right_credentials_give_a_token_and_wrong_ones_401() {
    let site = TestSite::start().await;
    let body = json!({"binding": "local", "credentials": {"username": "alice", "password": "alice-secret"}});
    let reply = site.post("/v1/tokens", "", body).await.ok(201);
    assert_eq!(reply.header("location"), "/v1/tokens/current");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.json["user"]["subject"], "alice");
    let token = reply.json["token"].as_str().unwrap();
    let me = site.get("/v1/me", token).await.ok(200);
    assert_eq!(me.json["subject"], "alice");
    assert_eq!(me.json["group"], "research");
    assert_eq!(me.json["attributes"][0], json!({"name": "shoe-size", "value": "42"}));

    let wrong = json!({"credentials": {"username": "alice", "password": "guess"}});
    let reply = site.post("/v1/tokens", "", wrong).await.ok(401);
    assert_eq!(reply.problem(), "unauthenticated");
    assert!(!reply.text.contains("guess"));
    for bad in [
        json!({"credentials": {}}),
        json!({"binding": "nope", "credentials": {}}),
        json!({"credentials": {"username": 1}}),
        json!({"user": "x"}),
    ] {
        site.post("/v1/tokens", "", bad).await.ok(422).problem();
    }
}

#[tokio::test]
async fn a_challenge_is_answered_with_its_state() {
    let site = TestSite::start().await;
    let reply = site
        .post("/v1/tokens", "", json!({"credentials": {"username": "twofactor", "password": "x"}}))
        .await
        .ok(202);
    let challenge = &reply.json["challenge"];
    assert_eq!(challenge["fields"][0]["name"], "code");
    let answer =
        json!({"binding": challenge["binding"], "state": challenge["state"], "credentials": {"code": "123"}});
    site.post("/v1/tokens", "", answer).await.ok(201);
    site.post("/v1/tokens", "", json!({"state": "forged", "credentials": {"code": "123"}}))
        .await
        .ok(422)
        .problem();
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_others_go_on() {
    let site = TestSite::start().await;
    let (one, other) = (site.token("alice").await, site.token("alice").await);
    let sessions = site.get("/v1/sessions", &one).await.ok(200);
    let items = sessions.json["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items.iter().filter(|session| session["current"] == true).count(), 1);
    assert!(items[0].get("sealed_token").is_none());
    site.ask("DELETE", "/v1/tokens/current", &one, &[], None).await.ok(204);
    site.get("/v1/me", &one).await.ok(401).problem();
    site.get("/v1/me", &other).await.ok(200);
    assert_eq!(site.get("/v1/sessions", &other).await.ok(200).json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_caller_acts_for_one_of_his_groups_and_no_other() {
    let site = TestSite::start().await;
    let token = site.token("dave").await;
    assert_eq!(site.get("/v1/me", &token).await.ok(200).json["group"], json!(null));
    let me = site.ask("GET", "/v1/me", &token, &[("archipel-group", "teaching")], None).await.ok(200);
    assert_eq!(me.json["group"], "teaching");
    site.ask("GET", "/v1/me", &token, &[("archipel-group", "chess")], None).await.ok(403).problem();
}

//! Power actions over REST.

use serde_json::{Value, json};

use crate::site::{Reply, TestSite};

const WAIT: &[(&str, &str)] = &[("prefer", "wait=20")];

async fn act(site: &TestSite, order: &Reply, action: &str, token: &str, headers: &[(&str, &str)]) -> Reply {
    site.ask("POST", &format!("/v1/computes/{}/actions/{action}", order.id()), token, headers, None).await
}

#[tokio::test]
async fn a_machine_is_led_through_its_states_and_a_wait_ends_in_a_steady_one() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    for (action, state, status) in [
        ("pause", "paused", "paused"),
        ("resume", "fulfilled", "ready"),
        ("stop", "stopped", "stopped"),
        ("start", "fulfilled", "ready"),
        ("reboot", "fulfilled", "ready"),
    ] {
        let reply = act(&site, &order, action, &token, WAIT).await.ok(202);
        assert_eq!(reply.header("preference-applied"), "wait=20", "{action}");
        assert_eq!(reply.json["state"], state, "{action}");
        assert_eq!(reply.json["instance"]["status"], status, "{action}");
        assert_eq!((&reply.json["power"], &reply.json["fault"]), (&Value::Null, &Value::Null), "{action}");
        assert_eq!(reply.header("etag"), format!("\"{}\"", reply.json["version"]));
    }
}

#[tokio::test]
async fn an_action_is_answered_before_it_is_done_and_shows_meanwhile() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    site.set(|switches| &switches.power_is_slow, true);
    let asked = act(&site, &order, "reboot", &token, &[]).await.ok(202);
    assert_eq!(
        (&asked.json["state"], &asked.json["power"]["action"]),
        (&json!("fulfilled"), &json!("reboot"))
    );
    assert!(asked.json["power"]["since"].is_string());
    assert_ne!(asked.header("etag"), order.header("etag"), "what a client sees has changed");
    let again = act(&site, &order, "reboot", &token, &[]).await.ok(202);
    assert_eq!(again.json["power"], asked.json["power"], "the same, not a second one");
    let waited = act(&site, &order, "reboot", &token, &[("prefer", "wait=1")]).await.ok(202);
    assert_eq!(waited.json["power"]["action"], "reboot", "it has not ended");
    let other = act(&site, &order, "stop", &token, &[]).await.ok(409);
    assert_eq!(other.problem(), "conflict");
    assert_eq!(other.json["detail"], "a reboot is under way; ask again when it has ended");
}

#[tokio::test]
async fn a_state_that_does_not_allow_it_is_409_and_says_which_do() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let reply = act(&site, &order, "start", &token, &[]).await.ok(409);
    assert_eq!((reply.problem(), &reply.json["reason"]), ("conflict", &json!("wrong-state")));
    assert_eq!((&reply.json["state"], &reply.json["allowed_in"]), (&json!("fulfilled"), &json!(["stopped"])));
    assert_eq!(reply.json["detail"], "the order is fulfilled; start is for orders that are stopped");
    let reply = act(&site, &order, "resume", &token, &[]).await.ok(409);
    assert_eq!(reply.json["allowed_in"], json!(["paused", "hibernated"]));
    site.ask("DELETE", order.json["href"].as_str().unwrap(), &token, &[], None).await;
    let reply = act(&site, &order, "stop", &token, &[]).await.ok(409);
    assert_eq!(reply.json["allowed_in"], json!(["fulfilled"]));
}

#[tokio::test]
async fn an_action_that_the_cloud_has_not_is_422() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let reply = act(&site, &order, "hibernate", &token, &[]).await.ok(422);
    assert_eq!(reply.problem(), "unsupported");
    assert_eq!(
        reply.json["detail"],
        "cloud one cannot hibernate machines; it can pause, resume, stop, start, reboot"
    );
    let body = json!({"cloud": "two", "image": "debian"});
    let order = site.ask("POST", "/v1/computes", &token, WAIT, Some(body)).await.ok(201);
    let reply = act(&site, &order, "stop", &token, &[]).await.ok(422);
    assert_eq!(reply.json["detail"], "cloud two has no power actions");
}

#[tokio::test]
async fn a_refusal_of_the_cloud_is_a_fault_of_the_order_as_it_was() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    site.set(|switches| &switches.power_is_locked, true);
    for action in ["stop", "reboot"] {
        let reply = act(&site, &order, action, &token, WAIT).await.ok(202);
        assert_eq!((&reply.json["state"], &reply.json["power"]), (&json!("fulfilled"), &Value::Null));
        assert_eq!(reply.json["fault"]["message"], "the machine is locked", "{action}");
    }
    site.set(|switches| &switches.power_is_locked, false);
    let reply = act(&site, &order, "stop", &token, WAIT).await.ok(202);
    assert_eq!((&reply.json["state"], &reply.json["fault"]), (&json!("stopped"), &Value::Null));
}

#[tokio::test]
async fn only_who_may_act_on_a_compute_acts_and_others_see_nothing() {
    let site = TestSite::start().await;
    let (alice, bob, carol, admin) = (
        site.token("alice").await,
        site.token("bob").await,
        site.token("carol").await,
        site.token("admin").await,
    );
    let order = site.compute(&alice).await;
    let same = [("x-request-id", "same")];
    let theirs = act(&site, &order, "stop", &bob, &same).await.ok(404);
    let volume = site.volume(&alice).await;
    let of_another_kind = act(&site, &volume, "stop", &alice, &same).await.ok(404);
    assert_eq!(theirs.json, of_another_kind.json);
    act(&site, &order, "stop", &carol, &[]).await.ok(403).problem();
    act(&site, &order, "explode", &alice, &[]).await.ok(404).problem();
    site.get(&format!("/v1/computes/{}/actions/stop", order.id()), &alice).await.ok(405).problem();
    let reply = act(&site, &order, "stop", &admin, WAIT).await.ok(202);
    assert_eq!(reply.json["owner"]["subject"], "alice");
    assert_eq!(reply.json["state"], "stopped");
}

#[tokio::test]
async fn a_key_gives_the_first_answer_again_and_a_version_binds() {
    let site = TestSite::start().await;
    let token = site.token("alice").await;
    let order = site.compute(&token).await;
    let key = [("idempotency-key", "k1"), ("prefer", "wait=20")];
    let first = act(&site, &order, "stop", &token, &key).await.ok(202);
    assert_eq!(first.json["state"], "stopped");
    let again = act(&site, &order, "stop", &token, &key).await.ok(202);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json["state"], "stopping", "as it was answered at first");
    let stale = [("if-match", order.header("etag"))];
    assert_eq!(act(&site, &order, "start", &token, &stale).await.ok(412).problem(), "precondition-failed");
    let fresh = [("if-match", first.header("etag"))];
    act(&site, &order, "start", &token, &fresh).await.ok(202);
}

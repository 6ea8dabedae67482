//! Starts and ends of the daemon: killed, told to stop, started twice, started on what is not its own.

use std::time::Duration;

use archipel_tests::cli;
use archipel_tests::orders::{all, create, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::{Value, json};

#[tokio::test]
async fn what_was_ordered_goes_on_after_a_kill() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let token = daemon.token("alice", site.password("alice")).await.unwrap();
    let alice = daemon.anonymous().with_token(token.clone());
    let mut made = Vec::new();
    for n in 0..10 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    reaches(&alice, id(&made[0]), "fulfilled").await.unwrap();
    let before = alice.get(&format!("/v1/orders/{}", id(&made[0]))).await.unwrap();
    daemon.kill().unwrap();

    let daemon = site.start().await.unwrap();
    let alice = daemon.anonymous().with_token(token);
    let after = alice.get(&format!("/v1/orders/{}", id(&made[0]))).await.unwrap();
    assert_eq!(after.header("etag"), before.header("etag"), "nothing that a client sees has changed");
    assert_eq!(after.json().unwrap()["instance"]["id"], before.json().unwrap()["instance"]["id"]);
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let quota = alice.get("/v1/clouds/emulated/quota").await.unwrap().success().unwrap();
    let used =
        quota["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "instances").unwrap();
    assert_eq!(used["used"], 10, "one instance per order");
}

#[tokio::test]
async fn told_to_stop_it_ends_what_it_began_and_says_yes() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] = json!({"latency_ms": 300, "boot_ms": 10});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    // A request that is being answered is answered.
    let watched = id(&made[4]).to_owned();
    let asked = tokio::spawn(async move {
        let headers = [("prefer", "wait=30")];
        alice.send(http::Method::GET, &format!("/v1/orders/{watched}"), &headers, None).await
    });
    let status = daemon.stop().await.unwrap();
    assert!(status.success(), "{status}");
    if let Ok(answer) = asked.await.unwrap() {
        assert!([200, 503].contains(&answer.status()), "{}", answer.status());
    }
    assert!(!site.data_dir().join("ready.json").exists(), "nobody is told that it serves");

    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    assert_eq!(all(&alice, "").await.unwrap().len(), 5);
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_refused_and_the_first_serves_on() {
    let site = Site::temporary().unwrap();
    let mut daemon = site.start().await.unwrap();
    let ran = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(ran.err.contains("store") || ran.err.contains("another"), "{ran:?}");
    assert!(!daemon.has_ended());
    daemon.login("alice").await.unwrap();
    daemon.admin().get("/v1/orders").await.unwrap().success().unwrap();
}

#[tokio::test]
async fn a_store_of_another_site_is_refused() {
    let mut site = Site::temporary().unwrap();
    assert!(site.start().await.unwrap().stop().await.unwrap().success());
    site.config["site"]["id"] = "site-b.example.org".into();
    site.write().unwrap();
    let ran = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(ran.err.contains("site-a.example.org") && ran.err.contains("site-b.example.org"), "{ran:?}");
    // Whose it is, it still serves.
    site.config["site"]["id"] = "site-a.example.org".into();
    site.start().await.unwrap().login("alice").await.unwrap();
}

#[tokio::test]
async fn a_site_without_anything_starts_and_says_so() {
    let mut site = Site::temporary().unwrap();
    for section in ["identity", "authorization", "cloud", "grants"] {
        site.config.as_object_mut().unwrap().remove(section);
    }
    let daemon = site.start().await.unwrap();
    assert_eq!(daemon.admin().get("/v1/clouds").await.unwrap().success().unwrap()["items"], json!([]));
    let body: Value = json!({"credentials": {"username": "alice", "password": "x"}});
    let answer = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
    assert!(answer.status() >= 400 && answer.status() != 500, "{}", answer.status());
}

#[tokio::test]
async fn a_start_that_is_killed_at_any_point_harms_nothing() {
    let site = Site::temporary().unwrap();
    site.write().unwrap();
    for wait_ms in [1, 20, 60, 150, 400] {
        let mut child = cli::program().unwrap();
        child.args(["serve", "--config"]).arg(site.file());
        let mut child = child.stderr(std::process::Stdio::null()).spawn().unwrap();
        // The moment is arbitrary on purpose.
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &small_compute("c")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn a_reload_takes_other_limits_and_tells_what_needs_a_restart() {
    let mut site = Site::temporary().unwrap();
    site.config["limit"] = json!([{"user": "*", "instances": 1}]);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    create(&alice, "computes", &small_compute("first")).await.unwrap();
    let refused = alice.post("/v1/computes", &small_compute("second")).await.unwrap();
    assert_eq!(refused.status(), 409);

    site.config["limit"] = json!([{"user": "*", "instances": 2}]);
    site.config["secrets"] = json!({"new": {"env": "PATH"}});
    site.config["limits"] = json!({"api": {"page_max": 7}});
    site.write().unwrap();
    let path = "/v1/admin/config/actions/reload";
    let told = daemon.admin().post(path, &Value::Null).await.unwrap().success().unwrap();
    assert_eq!(told["changed"], json!(["limit", "secrets"]));
    assert_eq!(told["needs_restart"], json!(["limits.api"]));
    create(&alice, "computes", &small_compute("second")).await.unwrap();
    assert_eq!(alice.post("/v1/computes", &small_compute("third")).await.unwrap().status(), 409);
}

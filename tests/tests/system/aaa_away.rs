//! Who judges users is away: nobody is let in, nobody is told that his token is wrong, and the administrator's socket
//! still works.

use archipel_tests::built;
use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::json;

#[tokio::test]
async fn without_its_plugin_the_site_starts_closed_and_opens_when_it_is_dropped() {
    for missing in ["aaa-local", "authz-roles"] {
        let site = Site::temporary().unwrap();
        std::fs::remove_file(site.plugin_dir().join(format!("{missing}.wasm"))).unwrap();
        let daemon = site.start().await.unwrap();
        let body = json!({"binding": "local", "credentials": {"username": "alice", "password": site.password("alice")}});
        let refused = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
        assert_eq!(refused.status(), 503, "without {missing}: {:?}", refused.json());
        assert_eq!(refused.json().unwrap()["type"], "urn:archipel:problem:aaa-unavailable");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(daemon.anonymous().get("/readyz").await.unwrap().status(), 503);
        assert_eq!(daemon.anonymous().get("/healthz").await.unwrap().status(), 200);

        // The administrator orders, sees, and drops what is missing.
        let order = create(&daemon.admin(), "volumes", &json!({"size_gib": 1})).await.unwrap();
        reaches(&daemon.admin(), id(&order), "fulfilled").await.unwrap();
        site.drop_plugin(missing, &built::plugin(missing).unwrap()).unwrap();
        daemon.plugin_state(missing, "live", None).await.unwrap();
        let alice = daemon.login("alice").await.unwrap();
        let order = create(&alice, "computes", &small_compute("c")).await.unwrap();
        reaches(&alice, id(&order), "fulfilled").await.unwrap();
        assert_eq!(daemon.anonymous().get("/readyz").await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_valid_token_is_answered_503_and_not_401_while_its_judge_is_away() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"identity": {"auth_cache_ttl_s": 0.0}});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    alice.get("/v1/me").await.unwrap().success().unwrap();
    let off = json!({"reason": "for a test"});
    daemon
        .admin()
        .post("/v1/admin/plugins/aaa-local/actions/quarantine", &off)
        .await
        .unwrap()
        .success()
        .unwrap();
    let refused = alice.get("/v1/me").await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json().unwrap()["type"], "urn:archipel:problem:aaa-unavailable");
    daemon
        .admin()
        .post("/v1/admin/plugins/aaa-local/actions/release", &json!({}))
        .await
        .unwrap()
        .success()
        .unwrap();
    daemon.plugin_state("aaa-local", "live", None).await.unwrap();
    alice.get("/v1/me").await.unwrap().success().unwrap();
}

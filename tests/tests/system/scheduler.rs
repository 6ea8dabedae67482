//! Clouds in maintenance, draining, silent, hanging or polled by lists, and what a sweep finds, with a real daemon and the
//! emulated cloud.

use std::time::{Duration, Instant};

use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, id, reaches, show, small_compute};
use archipel_tests::site::{CLOUD_STORAGE, Site};
use archipel_tests::torture::held::held;
use serde_json::{Value, json};

/// Takes the site file as it is now.
async fn reload(site: &Site, daemon: &Daemon) {
    site.write().unwrap();
    daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap().success().unwrap();
}

/// Asks until it is so, a minute at most.
async fn until<F: Future<Output = Option<T>>, T>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what} within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn metric(daemon: &Daemon, line: &str) -> u64 {
    let answer = daemon.anonymous().get("/metrics").await.unwrap();
    let text = String::from_utf8_lossy(answer.bytes()).into_owned();
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

#[tokio::test]
async fn maintenance_keeps_orders_waiting_and_draining_refuses_new_ones() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["state"] = json!("maintenance");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let waiting = create(&alice, "computes", &small_compute("patient")).await.unwrap();
    let order = reaches(&alice, id(&waiting), "waiting").await.unwrap();
    assert_eq!(order["waiting_for"], json!([{"for": "maintenance"}]));
    site.config["cloud"][0]["state"] = json!("active");
    reload(&site, &daemon).await;
    reaches(&alice, id(&waiting), "fulfilled").await.unwrap();

    site.config["cloud"][0]["state"] = json!("draining");
    reload(&site, &daemon).await;
    let refused = alice.post("/v1/computes", &small_compute("late")).await.unwrap();
    let problem = refused.json().unwrap();
    assert_eq!((refused.status(), &problem["reason"]), (409, &json!("cloud-draining")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("choose another cloud"), "{problem}");
    let cloud = alice.get("/v1/clouds/emulated").await.unwrap().success().unwrap();
    assert_eq!((&cloud["state"], &cloud["health"]["status"]), (&json!("draining"), &json!("up")));
    alice.delete(&format!("/v1/orders/{}", id(&waiting))).await.unwrap().success().unwrap();
    reaches(&alice, id(&waiting), "closed").await.unwrap();
}

#[tokio::test]
async fn a_silent_cloud_is_shown_as_down_and_everything_goes_on_when_it_answers() {
    let mut site = Site::temporary().unwrap();
    let healthy = site.config["cloud"][0]["config"].clone();
    site.config["cloud"][0]["config"]["faults"] =
        json!([{"operation": "any", "mode": "transient", "message": "connection refused"}]);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut made = Vec::new();
    for n in 0..10 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    let health = until("it is down", || async {
        let cloud = alice.get("/v1/clouds/emulated").await.unwrap().success().unwrap();
        Some(cloud["health"].clone()).filter(|health| health["status"] == "down")
    })
    .await;
    assert!(health["failures_in_a_row"].as_u64().unwrap() >= 5, "{health}");
    assert!(metric(&daemon, "archipel_cloud_breaker_opened_total{cloud=\"emulated\"}").await >= 1);
    let order = until("an order says so", || async {
        let order = show(&alice, id(&made[0])).await.unwrap();
        Some(order).filter(|order| !order["unreachable"].is_null())
    })
    .await;
    assert_eq!((&order["state"], &order["unreachable"]["scope"]), (&json!("open"), &json!("cloud")));
    site.config["cloud"][0]["config"] = healthy;
    reload(&site, &daemon).await;
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let cloud = alice.get("/v1/clouds/emulated").await.unwrap().success().unwrap();
    assert_eq!((&cloud["health"]["status"], &cloud["health"]["breaker"]), (&json!("up"), &json!("closed")));
}

#[tokio::test]
async fn instances_are_polled_by_lists_and_what_happened_to_one_is_seen() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"orders": {"poll_steady_ms": 1000}});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut made = Vec::new();
    for n in 0..30 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let by_list = "archipel_cloud_polls_total{cloud=\"emulated\",by=\"list\"}";
    until("lists spare looks", || async { (metric(&daemon, by_list).await >= 90).then_some(()) }).await;
    for order in &made {
        assert_eq!(show(&alice, id(order)).await.unwrap()["state"], "fulfilled");
    }
    alice.delete(&format!("/v1/orders/{}", id(&made[7]))).await.unwrap().success().unwrap();
    reaches(&alice, id(&made[7]), "closed").await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_cloud_that_hangs_and_loses_nothing() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"orders": {"stop_grace_ms": 1000}});
    site.config["cloud"][0]["config"]["faults"] =
        json!([{"operation": "request", "mode": "answer-lost", "hang": true, "first": 1, "names": ["slow"]}]);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let slow = create(&alice, "computes", &small_compute("slow")).await.unwrap();
    let quick = create(&alice, "computes", &small_compute("quick")).await.unwrap();
    reaches(&alice, id(&slow), "selected").await.unwrap();
    reaches(&alice, id(&quick), "fulfilled").await.unwrap();
    let begun = Instant::now();
    assert!(daemon.stop().await.unwrap().success());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}, where the call hangs for a minute",
        begun.elapsed()
    );
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    reaches(&alice, id(&slow), "fulfilled").await.unwrap();
    reaches(&alice, id(&quick), "fulfilled").await.unwrap();
    assert!(daemon.stop().await.unwrap().success());
    let there = held(&site.data_dir(), &site.id().parse().unwrap(), CLOUD_STORAGE).await.unwrap();
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(there.values().all(|of_one| of_one.len() == 1), "{there:?}");
}

/// What `archipel sweep run --wait` says.
fn sweep(site: &Site) -> (i32, Value) {
    let ran = site.archipel(&["sweep", "run", "--wait", "--output", "json"]).unwrap();
    assert!([0, 1].contains(&ran.code), "{ran:?}");
    (ran.code, ran.json())
}

#[tokio::test]
async fn a_sweep_finds_what_a_forgotten_order_left_and_deletes_it_in_a_restored_store_only_when_told() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["sweep"] = json!({"unknown": "delete"});
    site.config["cloud"][0]["config"]["faults"] =
        json!([{"operation": "delete", "mode": "permanent", "names": ["stuck"], "message": "it is locked"}]);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let stuck = create(&alice, "computes", &small_compute("stuck")).await.unwrap();
    reaches(&alice, id(&stuck), "fulfilled").await.unwrap();
    let kept = create(&alice, "computes", &small_compute("kept")).await.unwrap();
    reaches(&alice, id(&kept), "fulfilled").await.unwrap();
    let (code, clean) = sweep(&site);
    assert_eq!(
        (code, &clean["confirmed"], &clean["clouds"][0]["looked_at"]),
        (0, &json!(true), &json!(2)),
        "{clean}"
    );

    alice.delete(&format!("/v1/orders/{}", id(&stuck))).await.unwrap().success().unwrap();
    until("the deletion is refused", || async {
        let order = show(&alice, id(&stuck)).await.unwrap();
        Some(()).filter(|()| !order["fault"].is_null())
    })
    .await;
    site.archipel(&["order", "forget", id(&stuck), "--reason", "the cloud keeps it locked"])
        .unwrap()
        .with_code(0);
    assert!(daemon.stop().await.unwrap().success());
    let export = site.folder().join("export.jsonl");
    let export = export.to_str().unwrap();
    site.archipel(&["store", "export", export]).unwrap().with_code(0);
    std::fs::rename(site.data_dir().join("store"), site.data_dir().join("store.old")).unwrap();
    site.archipel(&["store", "import", export]).unwrap().with_code(0);

    let daemon = site.start().await.unwrap();
    let found = until("what is left is old enough to be told", || async {
        let (code, report) = sweep(&site);
        (code == 1).then_some(report)
    })
    .await;
    let (incarnation, cloud) = (found["incarnation"].as_str().unwrap(), &found["clouds"][0]);
    assert_eq!(found["confirmed"], false);
    let unknown = &cloud["unknown"][0];
    assert_eq!((&unknown["order"], &unknown["why"]), (&stuck["id"], &json!("closed-order")));
    assert_eq!(unknown["fate"], "unconfirmed", "{found}");
    let orphan = &cloud["possible_orphans"][0];
    assert_eq!((&orphan["order"], &orphan["is_shown"]), (&stuck["id"], &json!(true)), "{found}");
    let shown = site.archipel(&["sweep", "show"]).unwrap().with_code(0).out;
    assert!(shown.contains("the store was restored") && shown.contains("archipel sweep confirm"), "{shown}");
    assert_eq!(metric(&daemon, "archipel_sweep_unknown_instances{cloud=\"emulated\"}").await, 1);

    let reason = ["--reason", "compared by hand"];
    let wrong = ["sweep", "confirm", "--incarnation", "01930000-0000-7000-8000-000000000000"];
    let ran = site.archipel(&[&wrong[..], &reason].concat()).unwrap().with_code(1);
    assert!(ran.err.contains(incarnation), "{ran:?}");
    let right = ["sweep", "confirm", "--incarnation", incarnation];
    site.archipel(&[&right[..], &reason].concat()).unwrap().with_code(0);
    assert!(daemon.log().contains("confirm-store") && daemon.log().contains("compared by hand"));
    assert!(daemon.stop().await.unwrap().success());

    let daemon = site.start().await.unwrap();
    let deleted = until("it is deleted", || async {
        let (code, report) = sweep(&site);
        (code == 1).then_some(report)
    })
    .await;
    assert_eq!(
        (&deleted["confirmed"], &deleted["clouds"][0]["unknown"][0]["fate"]),
        (&json!(true), &json!("deleted"))
    );
    let clean = until("nothing is left", || async {
        let (code, report) = sweep(&site);
        (code == 0).then_some(report)
    })
    .await;
    assert_eq!(clean["clouds"][0]["possible_orphans"][0]["is_shown"], false, "{clean}");
    let alice = daemon.login("alice").await.unwrap();
    assert_eq!(show(&alice, id(&kept)).await.unwrap()["state"], "fulfilled");
}

//! `archipel bench run`: a scenario orders at a running site as `monitor`, and nothing of it is left, however it ends.

use archipel_tests::built;
use archipel_tests::cli::Ran;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{all, create, id, reaches, small_compute};
use archipel_tests::site::Site;
use serde_json::{Value, json};

async fn site() -> (Site, Daemon) {
    let mut site = Site::temporary().unwrap();
    // An endless loop ends in a second.
    site.config["limits"] = json!({"plugins": {"benchmark_fuel": 200_000_000}});
    for name in ["bench-machine", "broken-scenario"] {
        site.drop_plugin(name, &built::plugin(name).unwrap()).unwrap();
    }
    let daemon = site.start().await.unwrap();
    (site, daemon)
}

async fn bench(site: &Site, plugin: &str, with: &Value) -> Ran {
    let (file, with, plugin) = (site.file(), with.to_string(), plugin.to_owned());
    let run = move || {
        let config = file.to_str().unwrap().to_owned();
        archipel_tests::cli::archipel(&[
            "--config",
            &config,
            "--output",
            "json",
            "bench",
            "run",
            &plugin,
            "--cloud",
            "emulated",
            "--iterations",
            "2",
            "--with",
            &with,
        ])
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap()
}

/// Whatever a run left: orders of `monitor` that are not closed.
async fn standing(daemon: &Daemon) -> usize {
    all(&daemon.admin(), "").await.unwrap().len()
}

#[tokio::test]
async fn a_machine_is_booted_and_deleted_and_both_are_timed() {
    let (site, daemon) = site().await;
    let with = json!({"spec": {"image": "@cirros", "vcpu": 1, "ram_mib": 256}});
    let report = bench(&site, "bench-machine", &with).await.with_code(0).json();
    println!("{report}");
    assert_eq!((&report["ordered"], &report["cleaned"]), (&json!(2), &json!(0)), "{report}");
    let iterations = report["record"]["iterations"].as_array().unwrap();
    assert_eq!(iterations.len(), 2);
    for iteration in iterations {
        let names: Vec<&str> = iteration["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|span| span["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["boot", "delete"], "{iteration}");
        // The emulated cloud boots in 100 ms, a quarter more or less.
        assert!(iteration["spans"][0]["took_us"].as_u64().unwrap() >= 75_000, "{iteration}");
        assert!(iteration["fuel"].as_u64().unwrap() > 1_000, "{iteration}");
        assert_eq!(iteration["error"], Value::Null);
    }
    assert_eq!(standing(&daemon).await, 0);
    // It was ordered by the service principal, not by the administrator.
    let closed = all(&daemon.admin(), "&state=closed").await.unwrap();
    let owners: Vec<&Value> = closed.iter().map(|order| &order["owner"]["subject"]).collect();
    assert_eq!(owners, [&json!("monitor"); 2], "{closed:?}");
    let status = daemon.plugin_seen("bench-machine").await.unwrap();
    assert_eq!(status["last_error"], Value::Null, "{status}");
}

#[tokio::test]
async fn what_a_scenario_leaves_is_deleted_however_it_ends() {
    let (site, daemon) = site().await;
    for (ending, words) in [("trap", "trap: "), ("loop", "all fuel consumed"), ("forget", "")] {
        let ran = bench(&site, "broken-scenario", &json!({"ending": ending})).await;
        let report = ran.json();
        let expected = if ending == "forget" { 0 } else { 1 };
        assert_eq!(ran.code, expected, "{ending}: {report}");
        let error = report["record"]["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{ending}: {report}");
        assert!(report["cleaned"].as_u64().unwrap() >= 2, "{ending}: {report}");
        assert_eq!(report["left"], json!([]), "{ending}: {report}");
        assert_eq!(standing(&daemon).await, 0, "{ending}");
    }
}

#[tokio::test]
async fn a_scenario_sees_no_orders_but_its_own() {
    let (site, daemon) = site().await;
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &small_compute("hers")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
    let with = json!({"ending": "forget", "foreign": id(&order)});
    let report = bench(&site, "broken-scenario", &with).await.with_code(1).json();
    let error = report["record"]["iterations"][0]["error"].as_str().unwrap();
    assert_eq!(error, "this run made no such order", "{report}");
    assert_eq!(standing(&daemon).await, 1);
}

#[tokio::test]
async fn what_is_no_scenario_is_refused_by_name() {
    let (site, _daemon) = site().await;
    let ran = bench(&site, "mapper-all-to-one", &json!({})).await.with_code(2);
    assert!(ran.err.contains("it is no benchmark"), "{ran:?}");
}

//! What an administrator learns of a plugin that failed: the bundle over REST and as text, figures, metrics, the log.

use archipel_tests::built;
use archipel_tests::orders::{create, small_compute};
use archipel_tests::site::Site;
use serde_json::{Value, json};

/// A site with a second cloud whose mapper misbehaves.
fn site(behaviour: &str) -> Site {
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("hostile", &built::plugin("hostile").unwrap()).unwrap();
    let mut bad = site.config["cloud"][0].clone();
    bad["name"] = "bad".into();
    bad["mapper"] = "hostile".into();
    bad["mapper_config"] = json!({"behaviour": behaviour});
    site.config["cloud"].as_array_mut().unwrap().push(bad);
    // So that it stays there while the test looks.
    site.config["limits"] = json!({"plugins": {"quarantine_s": 600, "evidence_failures": 3}});
    site
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_plugin_shows_where_it_was_and_is_released_by_hand() {
    let site = site("trap");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut body = small_compute("c");
    body["cloud"] = "bad".into();
    // As many as there are strikes: a sixth may be under way when the fifth fails.
    for _ in 0..5 {
        create(&alice, "computes", &body).await.unwrap();
    }
    let status = daemon.plugin_state("hostile", "quarantined", None).await.unwrap();
    let quarantine = &status["quarantine"];
    assert!(
        quarantine["until"].as_str() > quarantine["since"].as_str() && quarantine["times"] == 1,
        "{status}"
    );
    let figures = &status["figures"]["federation-to-local-mapper.map-user"];
    let reached: u64 =
        figures["latency"].as_array().unwrap().iter().map(|b| b["calls"].as_u64().unwrap()).sum();
    assert_eq!(Some(reached), figures["calls"]["trap"].as_u64(), "{figures}");
    assert!(figures["memory_bytes"].as_u64().unwrap() >= 65_536, "{figures}");

    // Not even its existence is a user's business.
    assert_eq!(alice.get("/v1/admin/plugins/hostile/evidence").await.unwrap().status(), 403);
    let bundle = daemon.admin().get("/v1/admin/plugins/hostile/evidence").await.unwrap().success().unwrap();
    let failures = bundle["failures"].as_array().unwrap();
    assert_eq!((failures.len(), &bundle["forgotten"]), (3, &json!(2)), "five strikes, three are kept");
    let last = &failures[0];
    assert_eq!(
        (&last["outcome"], &last["strike"], &last["digest"]),
        (&json!("trap"), &json!(true), &status["digest"])
    );
    assert!(!last["order"].is_null() || !last["request_id"].as_str().unwrap().is_empty(), "{last}");
    let frames = texts(&last["frames"]);
    assert!(frames.iter().any(|frame| frame.contains("hostile::misbehave")), "demangled: {frames:?}");
    assert!(
        texts(&last["log"]).iter().any(|line| line.contains("as configured")),
        "the panic's text: {last}"
    );
    let called: Vec<&str> =
        last["host_calls"].as_array().unwrap().iter().filter_map(|call| call["what"].as_str()).collect();
    assert!(called.contains(&"config.get"), "{last}");

    let shown = site.archipel(&["plugin", "evidence", "hostile"]).unwrap().with_code(1);
    for wanted in
        ["quarantined since", "hostile::misbehave", "as configured", "config.get", "2 earlier failures"]
    {
        assert!(shown.out.contains(wanted), "{wanted}: {shown:?}");
    }
    site.archipel(&["plugin", "evidence", "cloud-emulated"]).unwrap().with_code(0);
    let listed = site.archipel(&["plugin", "list"]).unwrap().with_code(0);
    assert!(listed.out.contains("hostile: quarantined since"), "{listed:?}");
    let functions = site.archipel(&["plugin", "list", "--functions"]).unwrap().with_code(0);
    assert!(functions.out.contains("federation-to-local-mapper.map-user"), "{functions:?}");

    let metrics = daemon.anonymous().get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.bytes().to_vec()).unwrap();
    for wanted in [
        "archipel_plugin_quarantines_total{plugin=\"hostile\"} 1",
        "archipel_plugin_call_duration_seconds_bucket{le=\"+Inf\",plugin=\"hostile\",function=\"federation-to-local-mapper.map-user\"} 5",
        "archipel_plugin_call_duration_seconds_count{plugin=\"hostile\",function=\"federation-to-local-mapper.map-user\"} 5",
        "archipel_plugin_memory_high_water_bytes{plugin=\"hostile\",function=\"federation-to-local-mapper.map-user\"}",
        "archipel_plugin_state{plugin=\"hostile\",state=\"quarantined\"} 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted}\n{metrics}");
    }
    let log = daemon.log();
    assert!(log.contains("quarantined: it keeps failing") && log.contains("hostile::misbehave"), "{log}");

    site.archipel(&["plugin", "release", "hostile"]).unwrap().with_code(0);
    daemon.plugin_state("hostile", "live", None).await.unwrap();
    let bundle = daemon.admin().get("/v1/admin/plugins/hostile/evidence").await.unwrap().success().unwrap();
    assert_eq!(bundle["quarantine"], Value::Null);
    assert_eq!(bundle["failures"].as_array().unwrap().len(), 3, "evidence outlives the quarantine");
    assert!(daemon.log().contains("released by hand"));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_outlives_the_daemon() {
    let mut site = site("trap");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut body = small_compute("c");
    body["cloud"] = "bad".into();
    for _ in 0..5 {
        create(&alice, "computes", &body).await.unwrap();
    }
    daemon.plugin_state("hostile", "quarantined", None).await.unwrap();
    let bundle = daemon.admin().get("/v1/admin/plugins/hostile/evidence").await.unwrap().success().unwrap();
    assert_eq!(bundle["failures"].as_array().unwrap().len(), 3, "{bundle}");
    let kept = "the evidence of its quarantine is in the store";
    for _ in 0..500 {
        if daemon.log().contains(kept) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(daemon.log().contains(kept), "{}", daemon.log());
    daemon.stop().await.unwrap();

    // From now on it behaves, so that the orders that wait for it add nothing.
    site.config["cloud"][1]["mapper_config"] = json!({"behaviour": "nothing"});
    let daemon = site.start().await.unwrap();
    daemon.plugin_state("hostile", "live", None).await.unwrap();
    let again = daemon.admin().get("/v1/admin/plugins/hostile/evidence").await.unwrap().success().unwrap();
    assert_eq!((&again["failures"], &again["quarantine"]), (&bundle["failures"], &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_takes_all_memory_shows_how_it_came_to_that() {
    let site = site("memory");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut body = small_compute("c");
    body["cloud"] = "bad".into();
    create(&alice, "computes", &body).await.unwrap();
    daemon
        .plugin_when("hostile", |status| {
            status["figures"]["federation-to-local-mapper.map-user"]["calls"]["memory"].as_u64() > Some(0)
        })
        .await
        .unwrap();
    let bundle = daemon.admin().get("/v1/admin/plugins/hostile/evidence").await.unwrap().success().unwrap();
    let last = &bundle["failures"][0];
    let curve: Vec<u64> =
        last["memory"].as_array().unwrap().iter().map(|sample| sample["bytes"].as_u64().unwrap()).collect();
    assert!(curve.len() > 5 && curve.is_sorted() && *curve.last().unwrap() > 32 << 20, "{curve:?}");
    assert_eq!(last["outcome"], "memory");
    daemon.stop().await.unwrap();
}

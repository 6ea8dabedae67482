//! A plugin can harm only its own call: it loops, traps, recurses, eats memory, and the host stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use archipel_model::plugin_admin::PluginState;
use archipel_model::{Applied, ErrorKind};
use support::{ALLOW, AUTHZ, Started, authorization, counting_quota, token};

async fn failing(body: &str) -> (Started, archipel_model::Error) {
    let site = Started::new(&[("authz.wasm", &authorization(0, body))], AUTHZ).await;
    let error = site.authorize().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    (site, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_at_its_deadline() {
    let started = Instant::now();
    let (site, error) = failing("(loop $l (br $l)) unreachable").await;
    assert_eq!(error.code.as_deref(), Some("plugin-deadline"));
    assert_eq!(error.message, "plugin authz did not finish authorization.is-authorized within 250 ms");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(site.status("authz").figures["authorization.is-authorized"].calls["deadline"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_one_plugin_do_not_stop_another() {
    let config = "[[authorization]]\nplugin = \"loops\"\n[[authorization]]\nplugin = \"good\"\n[limits]\nstrikes = 1000\n";
    let looping = authorization(0, "(loop $l (br $l)) unreachable");
    let site =
        Started::new(&[("loops.wasm", &looping), ("good.wasm", &authorization(0, ALLOW))], config).await;
    let generation = site.runtime.site().current();
    let loops = (0..16).map(|_| {
        let generation = std::sync::Arc::clone(&generation);
        tokio::spawn(async move {
            generation.authorization[0]
                .plugin
                .is_authorized(&support::user(), &support::resource(), &support::context())
                .await
        })
    });
    let loops: Vec<_> = loops.collect();
    for _ in 0..20 {
        let good = &generation.authorization[1].plugin;
        good.is_authorized(&support::user(), &support::resource(), &support::context()).await.unwrap();
    }
    for task in loops {
        assert_eq!(task.await.unwrap().unwrap_err().code.as_deref(), Some("plugin-deadline"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_a_typed_error_and_the_next_call_is_served() {
    let (site, error) = failing("unreachable").await;
    assert_eq!(error.code.as_deref(), Some("plugin-trap"));
    assert_eq!(error.message, "plugin authz failed in authorization.is-authorized; its log says why");
    let status = site.status("authz");
    assert_eq!(status.state, PluginState::Live);
    assert!(status.last_error.unwrap().contains("unreachable"), "the administrator sees the cause");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_recursion_ends_in_a_trap() {
    let (_, error) = failing("(call $recurse (i32.const 1))").await;
    assert_eq!(error.code.as_deref(), Some("plugin-trap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_without_end_ends_at_the_wall() {
    let body = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let (site, error) = failing(body).await;
    assert_eq!(error.code.as_deref(), Some("plugin-memory"));
    let evidence = site.runtime.admin().evidence("authz").unwrap();
    let curve: Vec<u64> = evidence.failures[0].memory.iter().map(|sample| sample.bytes).collect();
    assert!(curve.len() > 10 && curve.is_sorted() && *curve.last().unwrap() > 60 << 20, "{curve:?}");
    let figures = &site.status("authz").figures["authorization.is-authorized"];
    assert_eq!(figures.memory_bytes, *curve.last().unwrap());
    assert_eq!(figures.latency.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_points_nowhere_is_a_trap_of_that_call() {
    let (site, error) = failing("(i32.const -8)").await;
    assert_eq!(error.code.as_deref(), Some("plugin-trap"));
    assert_eq!(site.status("authz").state, PluginState::Live);
}

/// Traps where it finds what it once wrote: in its first page, in others, and in pages that it asked for.
const REMEMBER: &str = "(if (i32.load (i32.const 128)) (then unreachable))
    (i32.store (i32.const 128) (i32.const 7))
    (drop (memory.grow (i32.const 30)))
    (local.set $n (i32.const 100000))
    (loop $page
        (if (i32.load (local.get $n)) (then unreachable))
        (i32.store (local.get $n) (i32.const 7))
        (local.set $n (i32.add (local.get $n) (i32.const 4096)))
        (br_if $page (i32.lt_u (local.get $n) (i32.const 2097152))))
    (i32.const 64)";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_one_call_wrote_is_there_in_the_next() {
    let site = Started::new(&[("authz.wasm", &authorization(1, REMEMBER))], AUTHZ).await;
    for _ in 0..20 {
        let together = futures::future::join_all((0..8).map(|_| site.authorize())).await;
        together.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_failing_is_left_alone_and_comes_back() {
    let config = format!("{AUTHZ}[limits]\nstrikes = 3\nquarantine_s = 1\n");
    let site = Started::new(&[("authz.wasm", &authorization(0, "unreachable"))], &config).await;
    for _ in 0..3 {
        assert_eq!(site.authorize().await.unwrap_err().code.as_deref(), Some("plugin-trap"));
    }
    let error = site.authorize().await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("aaa-unavailable"));
    assert!(error.retry_after.is_some());
    let status = site.status("authz");
    assert_eq!(status.state, PluginState::Quarantined);
    assert!(status.last_error.unwrap().starts_with("3 failures within 60 s"));
    let quarantine = status.quarantine.unwrap();
    assert!(quarantine.until.unwrap() > quarantine.since && quarantine.times == 1);
    let evidence = site.runtime.admin().evidence("authz").unwrap();
    assert_eq!((evidence.failures.len(), evidence.forgotten), (3, 0), "the refused call is no failure");
    for failure in &evidence.failures {
        assert_eq!((failure.outcome.as_str(), failure.strike, failure.instance_call), ("trap", true, 1));
        assert!(failure.cause.contains("unreachable") && !failure.frames.is_empty(), "{failure:?}");
        assert_eq!(Some(&failure.digest), status.digest.as_ref());
        assert!(failure.memory.last().is_some_and(|sample| sample.bytes >= 65_536), "{failure:?}");
    }
    site.until("authz", |_| !site.runtime.site().current().aaa_away.is_empty()).await;

    site.until("authz", |status| status.state == PluginState::Live).await;
    assert_eq!(site.authorize().await.unwrap_err().code.as_deref(), Some("plugin-trap"), "it is asked again");
    assert_eq!(site.status("authz").state, PluginState::Quarantined, "and one more failure is enough");

    site.drop_file("authz.wasm", &authorization(0, ALLOW));
    site.until("authz", |status| status.state == PluginState::Live).await;
    assert!(site.authorize().await.is_ok(), "a new version starts afresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_switches_a_plugin_off_and_on() {
    let site = Started::new(&[("authz.wasm", &authorization(0, ALLOW))], AUTHZ).await;
    let admin = site.runtime.admin();
    let number = site.runtime.site().current().number;
    assert_eq!(admin.quarantine("authz", "looks odd").await.unwrap().state, PluginState::Quarantined);
    assert_eq!(site.authorize().await.unwrap_err().code.as_deref(), Some("aaa-unavailable"));
    assert!(site.runtime.site().current().number > number, "caches are emptied");
    assert_eq!(admin.release("authz").await.unwrap().state, PluginState::Live);
    assert!(site.authorize().await.is_ok());
    assert_eq!(admin.release("nobody").await.unwrap_err().kind, ErrorKind::NotFound);
}

const CLOUD: &str = "[[cloud]]\nname = \"c\"\ndriver = \"driver\"\nmapper = \"mapper\"\n";

async fn calls(site: &Started) -> Result<u64, archipel_model::Error> {
    let generation = site.runtime.site().current();
    let cloud = generation.cloud("c").unwrap();
    Ok(cloud.quota.as_ref().unwrap().get_user_quota(&token()).await?[0].used)
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_are_warm_and_retired_after_so_many_calls() {
    let config = format!("{CLOUD}[limits]\ndriver_calls = 3\n");
    let site = Started::new(&[("driver.wasm", &counting_quota(0))], &config).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(calls(&site).await.unwrap());
    }
    assert_eq!(seen, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_trapped_starts_afresh_and_may_have_acted() {
    let site = Started::new(&[("driver.wasm", &counting_quota(3))], CLOUD).await;
    assert_eq!((calls(&site).await.unwrap(), calls(&site).await.unwrap()), (1, 2));
    let error = calls(&site).await.unwrap_err();
    assert_eq!((error.code.as_deref(), error.applied), (Some("plugin-trap"), Applied::Unknown));
    assert_eq!(calls(&site).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_without_its_plugins_answers_that_they_are_away() {
    let site = Started::new(&[], CLOUD).await;
    let error = calls(&site).await.unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_deref(), error.applied),
        (ErrorKind::Transient, Some("plugin-away"), Applied::No)
    );
    let generation = site.runtime.site().current();
    assert!(generation.cloud("c").unwrap().away.as_ref().unwrap().contains("there is no file driver.wasm"));
    assert_eq!(generation.cloud("c").unwrap().drivers.len(), 4);
}

//! Versions change while calls run: each call ends on the version it began with, and a bad version changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use archipel_model::plugin::{Decision, Reach};
use archipel_model::plugin_admin::PluginState;
use support::{ALLOW, AUTHZ, Started, authorization, context, resource, user};

fn reach(decision: Decision) -> Reach {
    match decision {
        Decision::Allow { reach, .. } => reach,
        Decision::Deny { reason, .. } => panic!("{reason}"),
    }
}

/// Counts for a while, then answers.
const SLOW: &str = "(loop $l (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.ne (local.get $n) (i32.const 1000000000)))) (i32.const 64)";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_ends_on_the_version_it_began_with() {
    let config = format!("{AUTHZ}[limits]\naaa_deadline_ms = 60000\n");
    let site = Started::new(&[("authz.wasm", &authorization(0, SLOW))], &config).await;
    let old = site.runtime.site().current();
    let held = Arc::clone(&old);
    let call = tokio::spawn(async move {
        held.authorization[0].plugin.is_authorized(&user(), &resource(), &context()).await
    });
    tokio::task::yield_now().await;

    site.drop_file("authz.wasm", &authorization(2, ALLOW));
    site.until("authz", |_| site.runtime.site().current().number > old.number).await;
    assert_eq!(reach(site.authorize().await.unwrap()), Reach::Any);
    assert_eq!(reach(call.await.unwrap().unwrap()), Reach::Own);
    let again = old.authorization[0].plugin.is_authorized(&user(), &resource(), &context()).await;
    assert_eq!(
        reach(again.unwrap()),
        Reach::Own,
        "a generation keeps its version as long as someone holds it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_its_checks_leaves_the_old_one_serving() {
    let site = Started::new(&[("authz.wasm", &authorization(1, ALLOW))], AUTHZ).await;
    let good = site.status("authz").digest.unwrap();
    site.drop_file("authz.wasm", b"(component)");
    let status = site.until("authz", |status| status.last_error.is_some()).await;
    assert_eq!((status.state, status.digest.as_deref()), (PluginState::Live, Some(good.as_str())));
    assert!(status.last_error.unwrap().contains("the newest file cannot serve"));
    assert_eq!(reach(site.authorize().await.unwrap()), Reach::Group);

    site.drop_file("authz.wasm", &authorization(2, ALLOW));
    site.until("authz", |status| status.last_error.is_none()).await;
    assert_eq!(reach(site.authorize().await.unwrap()), Reach::Any);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_taken_away_closes_what_it_served() {
    let site = Started::new(&[("authz.wasm", &authorization(1, ALLOW))], AUTHZ).await;
    std::fs::remove_file(site.folder.path().join("plugins/authz.wasm")).unwrap();
    site.until("authz", |status| status.state == PluginState::Rejected).await;
    assert_eq!(site.authorize().await.unwrap_err().code.as_deref(), Some("aaa-unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_taken_whole_or_not_at_all() {
    let site = Started::new(&[("authz.wasm", &authorization(1, ALLOW))], AUTHZ).await;
    let number = site.runtime.site().current().number;
    let with_missing = format!("{AUTHZ}[[authorization]]\nplugin = \"missing\"\n");
    let problems = site.runtime.reconfigure(toml::from_str(&with_missing).unwrap()).await.unwrap_err();
    assert!(problems[0].contains("there is no file missing.wasm"), "{problems:?}");
    let doubled = format!("{AUTHZ}{AUTHZ}");
    let problems = site.runtime.reconfigure(toml::from_str(&doubled).unwrap()).await.unwrap_err();
    assert!(problems[0].contains("the chain has it twice"));
    assert_eq!(site.runtime.site().current().number, number);

    site.drop_file("missing.wasm", &authorization(0, ALLOW));
    site.until("missing", |status| status.state == PluginState::Compiled).await;
    let taken = site.runtime.reconfigure(toml::from_str(&with_missing).unwrap()).await.unwrap();
    assert!(taken.needs_restart.is_empty());
    assert_eq!(site.runtime.site().current().authorization.len(), 2);

    // The pool was made for one place, with room for another; a third serves too, and is told to want a larger one.
    site.drop_file("third.wasm", &authorization(0, ALLOW));
    site.until("third", |status| status.state == PluginState::Compiled).await;
    let with_third = format!("{with_missing}[[authorization]]\nplugin = \"third\"\n");
    let taken = site.runtime.reconfigure(toml::from_str(&with_third).unwrap()).await.unwrap();
    assert_eq!(taken.needs_restart, ["limits.plugins.aaa_slots"]);
    assert_eq!(site.runtime.site().current().authorization.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_code_is_kept_and_a_damaged_entry_is_made_again() {
    let plugin = authorization(1, ALLOW);
    let site = Started::new(&[("authz.wasm", &plugin)], AUTHZ).await;
    assert_eq!(site.status("authz").start, "fresh, compiled now");
    let cache = site.folder.path().join("aot");
    let started_again = async || {
        let mut options =
            archipel_runtime::RuntimeOptions::new(site.folder.path().join("plugins"), &cache, [9; 32]);
        options.watch = false;
        let config = toml::from_str(AUTHZ).unwrap();
        let runtime = archipel_runtime::Runtime::start(config, support::services(), options).await.unwrap();
        let status = runtime.admin().get("authz").unwrap();
        runtime.shutdown().await;
        (status.state, status.start)
    };
    assert_eq!(started_again().await, (PluginState::Live, "fresh, from the cache".to_owned()));

    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&entry).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&entry, bytes).unwrap();
    assert_eq!(started_again().await, (PluginState::Live, "fresh, compiled now".to_owned()));
    assert_eq!(started_again().await, (PluginState::Live, "fresh, from the cache".to_owned()));
}

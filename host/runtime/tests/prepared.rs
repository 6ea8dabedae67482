//! `lifecycle.init` runs once, and every call is a fresh instance of what it left; where that cannot be, it runs in every
//! instance, and the list of plugins says why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use archipel_model::plugin_admin::PluginState;
use support::{AUTHZ, Started, prepared};

/// How often `init` ran in this instance, times 256, and how often it was called.
const COUNTS: &str = "(i32.store (i32.const 208) (i32.add (i32.load (i32.const 208)) (i32.const 1)))
    (i64.extend_i32_u (i32.or (i32.shl (i32.load (i32.const 200)) (i32.const 8)) (i32.load (i32.const 208))))";

#[tokio::test(flavor = "multi_thread")]
async fn every_call_starts_from_what_init_left_and_nothing_of_another_call() {
    let site = Started::new(&[("authz.wasm", &prepared("", COUNTS))], AUTHZ).await;
    assert_eq!(site.status("authz").start, "fresh, from a snapshot, compiled now");
    for _ in 0..3 {
        assert_eq!(site.told().await, 0x101);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_kept_for_the_next_start() {
    let plugin = prepared("", COUNTS);
    let first = Started::new(&[("authz.wasm", &plugin)], AUTHZ).await;
    first.runtime.shutdown().await;
    let cache = first.folder.path().join("aot");
    let again =
        Started::with(&[("authz.wasm", &plugin)], AUTHZ, |options| options.aot_dir = cache.clone()).await;
    assert_eq!(again.status("authz").start, "fresh, from a snapshot, from the cache");
    assert_eq!(again.told().await, 0x101);
    again.runtime.shutdown().await;

    // Another configuration is another snapshot.
    let config = "[[authorization]]\nplugin = \"authz\"\nconfig = { a = 1 }\n";
    let other = Started::with(&[("authz.wasm", &plugin)], config, |options| options.aot_dir = cache).await;
    assert_eq!(other.status("authz").start, "fresh, from a snapshot, compiled now");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_changed_are_prepared_anew() {
    // The first byte of the first file.
    let init = "(i32.store8 (i32.const 216) (i32.load8_u (i32.load offset=8 (local.get $files))))
        (if (i32.eq (i32.load8_u (i32.const 216)) (i32.const 63)) (then unreachable))";
    let plugin = prepared(init, "(i64.load8_u (i32.const 216))");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let policy = folder.path().join("policies/one.rego");
    std::fs::write(&policy, "A").unwrap();
    let config = format!("{AUTHZ}[grants.authz]\nfolders = [\"policies\"]\n");
    let root = folder.path().to_owned();
    let site =
        Started::with(&[("authz.wasm", &plugin)], &config, |options| options.folders_root = root).await;
    assert_eq!(site.told().await, u64::from(b'A'));
    std::fs::write(&policy, "B").unwrap();
    assert_eq!(site.told().await, u64::from(b'A'), "not before a reload");
    site.runtime.admin().reload(None).await.unwrap();
    assert_eq!(site.told().await, u64::from(b'B'));
    assert!(site.status("authz").start.contains("from a snapshot"));

    // A policy that cannot be read closes nothing: the one before decides until it is mended.
    std::fs::write(&policy, "?").unwrap();
    site.runtime.admin().reload(None).await.unwrap();
    assert_eq!(site.told().await, u64::from(b'B'));
    let status = site.status("authz");
    let error = status.last_error.unwrap();
    assert_eq!(status.state, PluginState::Live);
    assert!(error.starts_with("the files of its granted folders cannot be used"), "{error}");
    std::fs::write(&policy, "C").unwrap();
    site.runtime.admin().reload(None).await.unwrap();
    assert_eq!((site.told().await, site.status("authz").last_error), (u64::from(b'C'), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_differ_from_call_to_call_from_a_snapshot_and_without_one() {
    let in_the_call = "(call $seed (i32.const 224)) (i64.load (i32.const 224))";
    let site = Started::new(&[("authz.wasm", &prepared("", in_the_call))], AUTHZ).await;
    assert!(site.status("authz").start.contains("from a snapshot"), "{}", site.status("authz").start);
    assert_ne!(site.told().await, site.told().await);

    let in_init = prepared("(call $seed (i32.const 224))", "(i64.load (i32.const 224))");
    let site = Started::new(&[("authz.wasm", &in_init)], AUTHZ).await;
    let start = site.status("authz").start;
    assert!(start.contains("prepared in each instance") && start.contains("hash seed"), "{start}");
    assert_ne!(site.told().await, site.told().await, "a seed is never part of a snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_stands_still_in_init_and_goes_in_the_call() {
    let site = Started::new(
        &[("authz.wasm", &prepared("(call $now (i32.const 232))", "(i64.load (i32.const 232))"))],
        AUTHZ,
    )
    .await;
    assert_eq!(site.told().await, 0);
    let in_the_call = prepared("", "(call $now (i32.const 232)) (i64.load (i32.const 232))");
    let site = Started::new(&[("authz.wasm", &in_the_call)], AUTHZ).await;
    assert!(site.told().await > 1_700_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_handle_of_the_host_prepares_itself_in_each_call() {
    let keeps = prepared("(i32.store (i32.const 240) (call $stderr))", COUNTS);
    let site = Started::new(&[("authz.wasm", &keeps)], AUTHZ).await;
    let start = site.status("authz").start;
    assert!(
        start.starts_with("fresh, prepared in each instance") && start.contains("keeps a handle"),
        "{start}"
    );
    for _ in 0..2 {
        assert_eq!(site.told().await, 0x101, "init ran in this instance, and the call was its first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_keeps_the_plugin_from_serving() {
    let refused = async |init: &str| {
        let config = format!("{AUTHZ}[limits]\nlifecycle_deadline_ms = 500\n");
        let site = Started::new(&[("authz.wasm", &prepared(init, COUNTS))], &config).await;
        assert_eq!(site.status("authz").state, PluginState::Rejected);
        site.error("authz")
    };
    let random = refused("(drop (call $random))").await;
    assert!(random.contains("lifecycle.init may not draw random numbers"), "{random}");
    let endless = refused("(loop $l (br $l))").await;
    assert!(endless.contains("lifecycle.init did not end within 500 ms"), "{endless}");
    let trap = refused("unreachable").await;
    assert!(trap.contains("it failed its trial: trap:"), "{trap}");
    // `err(error)` with an empty message.
    let says_no = refused("(i32.store8 (i32.const 1600) (i32.const 1))").await;
    assert!(says_no.contains("lifecycle.init refused"), "{says_no}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_place_wants_is_checked_and_not_compiled() {
    let site = Started::new(&[("spare.wasm", &prepared("", COUNTS))], AUTHZ).await;
    assert_eq!(site.status("spare").state, PluginState::Checked);
    let mut damaged = prepared("", COUNTS);
    let at = damaged.len() / 2;
    damaged[at..at + 8].fill(0xff);
    site.drop_file("spare.wasm", &damaged);
    site.until("spare", |status| status.state == PluginState::Rejected).await;
    assert!(site.error("spare").contains("it cannot be compiled"), "{}", site.error("spare"));
}

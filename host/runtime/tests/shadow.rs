//! A candidate in the shadow of the version that serves: asked the same, compared, and never heard or waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use archipel_model::plugin::{Decision, Reach};
use archipel_model::plugin_admin::{PluginState, PluginStatus};
use archipel_model::plugin_shadow::ShadowStatus;
use support::{ALLOW, Started, authorization, counting_quota, token};

const SHADOW: &str =
    "[[authorization]]\nplugin = \"authz\"\n[[shadow]]\nplugin = \"authz\"\ncandidate = \"authz-next\"\n";

fn reach(decision: Decision) -> Reach {
    match decision {
        Decision::Allow { reach, .. } => reach,
        Decision::Deny { reason, .. } => panic!("{reason}"),
    }
}

fn counted(status: &PluginStatus) -> u64 {
    status
        .shadow
        .as_ref()
        .map_or(0, |shadow| shadow.agreed + shadow.differed + shadow.failed + shadow.skipped)
}

/// Asks so often, and waits until the candidate has been compared or left out as often.
async fn asked(site: &Started, times: u64) -> ShadowStatus {
    for _ in 0..times {
        assert_eq!(
            reach(site.authorize().await.unwrap()),
            Reach::Own,
            "what serves is heard, and nothing else"
        );
    }
    site.until("authz-next", |status| counted(status) >= times).await.shadow.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_says_the_same_agrees() {
    let candidate = authorization(0, "(drop (i32.const 1)) (i32.const 64)");
    let site =
        Started::new(&[("authz.wasm", &authorization(0, ALLOW)), ("authz-next.wasm", &candidate)], SHADOW)
            .await;
    let status = site.status("authz-next");
    assert_eq!(status.state, PluginState::Shadow);
    assert_eq!(status.bindings, ["shadow of authz in authorization (authorization)"]);
    let shadow = asked(&site, 5).await;
    assert_eq!((shadow.of.as_str(), shadow.differed, shadow.failed), ("authz", 0, 0));
    assert!(shadow.agreed >= 1 && shadow.agreed + shadow.skipped == 5, "{shadow:?}");
    assert_eq!(site.status("authz").shadow, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_says_something_else_is_told_of() {
    let site = Started::new(
        &[("authz.wasm", &authorization(0, ALLOW)), ("authz-next.wasm", &authorization(2, ALLOW))],
        SHADOW,
    )
    .await;
    let shadow = asked(&site, 1).await;
    assert_eq!((shadow.agreed, shadow.differed), (0, 1));
    let difference = &shadow.differences[0];
    assert_eq!(
        (difference.function.as_str(), difference.about.as_str()),
        ("authorization.is-authorized", "request-1")
    );
    assert!(difference.served.contains("Own") && difference.candidate.contains("Any"), "{difference:?}");

    // A better candidate begins with nothing against it.
    site.drop_file("authz-next.wasm", &authorization(0, "(drop (i32.const 1)) (i32.const 64)"));
    site.until("authz-next", |status| counted(status) == 0).await;
    assert_eq!(asked(&site, 1).await.agreed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_loops_or_traps_costs_the_caller_nothing_and_fails_alone() {
    for (body, times) in [("(loop $l (br $l)) unreachable", 40), ("unreachable", 1)] {
        let config = format!("{SHADOW}[limits]\nstrikes = 1000\n");
        let site = Started::new(
            &[("authz.wasm", &authorization(0, ALLOW)), ("authz-next.wasm", &authorization(0, body))],
            &config,
        )
        .await;
        let began = Instant::now();
        for _ in 0..times {
            site.authorize().await.unwrap();
        }
        // Two of forty loops at a time would keep callers for five seconds, if anybody waited.
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let status = site.until("authz-next", |status| counted(status) >= times).await;
        let shadow = status.shadow.unwrap();
        assert!(shadow.failed >= 1 && shadow.agreed == 0 && shadow.differed == 0, "{shadow:?}");
        let serving = site.status("authz");
        assert_eq!(serving.state, PluginState::Live);
        assert_eq!(serving.figures["authorization.is-authorized"].calls["ok"], times);
        assert!(!site.runtime.admin().evidence("authz-next").unwrap().failures.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_only_looks_at_has_a_shadow_too() {
    let config = "[[cloud]]\nname = \"c\"\ndriver = \"driver\"\nmapper = \"mapper\"\n[[shadow]]\nplugin = \"driver\"\ncandidate = \"driver-next\"\n";
    // The second traps at its third call; until then both count alike.
    let site = Started::new(
        &[("driver.wasm", &counting_quota(0)), ("driver-next.wasm", &counting_quota(3))],
        config,
    )
    .await;
    for call in 1..=3 {
        let generation = site.runtime.site().current();
        let quota = generation.cloud("c").unwrap().quota.clone().unwrap();
        assert_eq!(quota.get_user_quota(&token()).await.unwrap()[0].used, call);
        site.until("driver-next", |status| counted(status) == call).await;
    }
    let shadow = site.status("driver-next").shadow.unwrap();
    assert_eq!((shadow.agreed, shadow.differed, shadow.failed, shadow.skipped), (2, 0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_not_there_is_nobodys_trouble() {
    let site = Started::new(&[("authz.wasm", &authorization(0, ALLOW))], SHADOW).await;
    let away = site.runtime.site().current().aaa_away.join("; ");
    assert!(!away.contains("authz"), "what serves is not away: {away}");
    assert!(site.authorize().await.is_ok());
    let status = site.status("authz-next");
    assert!(status.last_error.unwrap().contains("there is no file authz-next.wasm"));
    site.drop_file("authz-next.wasm", &authorization(0, "(drop (i32.const 1)) (i32.const 64)"));
    site.until("authz-next", |status| status.state == PluginState::Shadow).await;
    assert_eq!(asked(&site, 1).await.agreed, 1);
}

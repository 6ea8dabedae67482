//! What is dropped into the folder and is no plugin: each is shown with a reason that says what to do, the site starts
//! all the same, and nothing else is touched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use archipel_model::ErrorKind;
use archipel_model::plugin::{Decision, Reach};
use archipel_model::plugin_admin::PluginState;
use serde_json::json;
use support::{
    ALLOW, AUTHORIZATION, AUTHZ, Started, authorization, component, counting_quota, manifest, user,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_site_starts_without_its_plugin_and_says_so() {
    let site = Started::new(&[], AUTHZ).await;
    let error = site.authorize().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Transient, Some("aaa-unavailable")));
    assert!(site.error("authz").starts_with("there is no file authz.wasm"));
    let generation = site.runtime.site().current();
    assert!(generation.aaa_away.iter().any(|reason| reason.contains("authz")), "{:?}", generation.aaa_away);

    site.drop_file("authz.wasm", &authorization(1, ALLOW));
    site.until("authz", |status| status.state == PluginState::Live).await;
    assert!(matches!(site.authorize().await.unwrap(), Decision::Allow { reach: Reach::Group, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_each_with_its_reason_and_good_ones_serve() {
    let good = authorization(0, ALLOW);
    let module = wat::parse_str("(module)").unwrap();
    let other_world =
        wat::parse_str(r#"(component (instance $i) (export "wasi:cli/run@0.2.6" (instance $i)))"#).unwrap();
    let typo = wat::parse_str(
        r#"(component (instance $i) (export "archipel:aaa/authorisation@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let old = component(
        "authorization-plugin",
        &core(),
        &json!({
            "name": "old", "version": "1.0.0", "sdk": "none", "wit": "0.9.0", "interfaces": [AUTHORIZATION],
        }),
    );
    let lies = component("authorization-plugin", &core(), &manifest(&["archipel:aaa/authentication@0.1.0"]));
    let empty_interface = support::with_section(
        wat::parse_str(
            r#"(component (instance $i) (export "archipel:aaa/authorization@0.1.0" (instance $i)))"#,
        )
        .unwrap(),
        "archipel:manifest",
        manifest(&[AUTHORIZATION]).to_string().as_bytes(),
    );
    let mut invalid = good.clone();
    let at = invalid.len() / 2;
    invalid[at..at + 8].fill(0xff);
    let site = Started::new(
        &[
            ("authz.wasm", &good),
            ("truncated.wasm", &good[..good.len() / 2]),
            ("empty.wasm", b""),
            ("text.wasm", b"(component)"),
            ("module.wasm", &module),
            ("world.wasm", &other_world),
            ("typo.wasm", &typo),
            ("old.wasm", &old),
            ("lies.wasm", &lies),
            ("hollow.wasm", &empty_interface),
            ("machine.wasm", b"\x7fELF machine code"),
            ("invalid.wasm", &invalid),
            ("Upper.wasm", &good),
        ],
        &format!("{AUTHZ}[limits]\nfile_mib = 1\n"),
    )
    .await;
    for (name, expected) in [
        ("truncated", "the file ends early, at byte"),
        ("empty", "the file is empty"),
        ("text", "this is WebAssembly text"),
        ("module", "this is a core module, not a component; build it for wasm32-wasip2"),
        ("world", "it exports wasi:cli/run@0.2.6, and no interface of Archipel"),
        ("typo", "did you mean archipel:aaa/authorization@0.1.0?"),
        ("old", "its manifest cannot be used: wit: this host speaks 0.1.0"),
        ("lies", "its manifest names"),
        ("hollow", "it does not fit the contract archipel 0.1.0"),
        ("machine", "this is precompiled machine code, which is never accepted"),
        ("Upper.wasm", "is not a plugin's name"),
    ] {
        let error = site.error(name);
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert_eq!(site.status("invalid").state, PluginState::Rejected);
    assert!(site.authorize().await.is_ok());

    site.drop_file("huge.wasm", &vec![0; (1 << 20) + 1]);
    site.until("huge", |status| status.state == PluginState::Rejected).await;
    assert!(site.error("huge").contains("limits.plugins.file_mib = 1"));
    assert!(site.authorize().await.is_ok());
}

fn core() -> String {
    r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "archipel:aaa/authorization@0.1.0#is-authorized") (param i32) (result i32) (i32.const 64))
        (func (export "archipel:aaa/authorization@0.1.0#are-authorized") (param i32) (result i32) (i32.const 64)))"#
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let site = Started::new(&[], &format!("{AUTHZ}[limits]\nsettle_ms = 200\n")).await;
    let whole = authorization(0, ALLOW);
    let path = site.folder.path().join("plugins/authz.wasm");
    let mut written = Vec::new();
    for chunk in whole.chunks(whole.len() / 6 + 1) {
        written.extend_from_slice(chunk);
        std::fs::write(&path, &written).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let state = site.status("authz").state;
        assert!(matches!(state, PluginState::Rejected | PluginState::Dropped), "{state:?}");
        let error = site.status("authz").last_error.unwrap_or_default();
        assert!(!error.contains("ends early"), "it was read half-written: {error}");
    }
    site.until("authz", |status| status.state == PluginState::Live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_refused_with_the_lines_that_would_grant_it() {
    let asks = component(
        "authorization-plugin",
        &core(),
        &json!({
            "name": "test", "version": "1.0.0", "sdk": "none", "wit": "0.1.0", "interfaces": [AUTHORIZATION],
            "capabilities": {"hosts": [{"config": "/url", "reason": "asks"}], "storage": {"bytes": 1024, "reason": "keeps"}},
            "config_schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"], "additionalProperties": false},
        }),
    );
    let config = "[[authorization]]\nplugin = \"authz\"\nconfig = { url = \"https://opa.test:8181/v1\" }\n";
    let site = Started::new(&[("authz.wasm", &asks)], config).await;
    let error = site.error("authz");
    assert!(
        error.contains("[grants.authz]\nhosts = [\"https://opa.test:8181\"]\nstorage = \"1 KiB\""),
        "{error}"
    );

    let granted =
        format!("{config}[grants.authz]\nhosts = [\"https://opa.test:8181\"]\nstorage = \"1 KiB\"\n");
    site.runtime.reconfigure(toml::from_str(&granted).unwrap()).await.unwrap();
    assert_eq!(site.status("authz").state, PluginState::Live);

    let wrong = granted.replace("url =", "uri =");
    let problems = site.runtime.reconfigure(toml::from_str(&wrong).unwrap()).await.unwrap_err();
    assert!(problems[0].contains("the configuration of authorization is wrong"), "{problems:?}");
    assert!(problems[0].contains("url") && problems[0].contains("uri"), "{problems:?}");
    assert_eq!(site.status("authz").state, PluginState::Live, "all or nothing");
    assert!(site.authorize().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_grant_takes_only_the_bytes_it_lists() {
    let plugin = authorization(0, ALLOW);
    let digest = archipel_runtime::explain::digest(&plugin);
    let pinned = format!("{AUTHZ}[grants.authz]\npin = \"digest\"\naccept = [\"sha256:00\"]\n");
    let site = Started::new(&[("authz.wasm", &plugin)], &pinned).await;
    assert!(site.error("authz").contains(&format!("accept = [\"{digest}\"]")), "{}", site.error("authz"));
    let accepted = pinned.replace("sha256:00", &digest);
    site.runtime.reconfigure(toml::from_str(&accepted).unwrap()).await.unwrap();
    assert!(site.authorize().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_the_wrong_place_is_refused_by_interface() {
    let site = Started::new(&[("authz.wasm", &counting_quota(0))], AUTHZ).await;
    let error = site.error("authz");
    assert_eq!(
        error,
        "authorization needs archipel:aaa/authorization@0.1.0, which it does not export; it exports archipel:cloud/quota@0.1.0"
    );
    let _ = user();
}

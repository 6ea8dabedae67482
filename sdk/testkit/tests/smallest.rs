//! The examples in the real runtime, as their author would test them. `cargo xtask plugins` and a built host are needed;
//! `cargo xtask test` makes sure of both.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it must be")]

use std::path::PathBuf;

use archipel_testkit::{Archipel, Site};

/// Cargo's target folder: this repository's own binary and components are tested, not installed ones.
fn target() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    executable.ancestors().nth(3).unwrap().to_owned()
}

fn archipel() -> Archipel {
    let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    Archipel::at(profile.join("archipel")).unwrap()
}

fn component(name: &str) -> PathBuf {
    target().join("plugins").join("dist").join(format!("{name}.wasm"))
}

#[test]
fn a_component_is_checked_without_running_it() {
    let report = archipel().check(component("smallest-authorization")).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["interfaces"][0], "archipel:aaa/authorization@0.1.0");
}

#[test]
fn what_is_no_component_is_told_so() {
    // Asked at run time: a target folder may serve clones in several places.
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("Cargo.toml");
    let report = archipel().check(manifest).unwrap();
    assert_eq!(report["ok"], false, "{report}");
    assert!(report["problem"].as_str().unwrap().contains("not WebAssembly"), "{report}");
}

#[test]
fn a_policy_serves_a_site() {
    let site = Site::new(
        archipel(),
        r#"
            [site]
            id = "site-a.example.org"
            listen = "127.0.0.1:0"
            [[authorization]]
            plugin = "smallest-authorization"
        "#,
    )
    .unwrap();
    site.drop_plugin("smallest-authorization", component("smallest-authorization")).unwrap();
    let running = site.serve().unwrap();
    let plugin = running.plugin("smallest-authorization").unwrap();
    assert_eq!(plugin["state"], "live", "{plugin}");
}

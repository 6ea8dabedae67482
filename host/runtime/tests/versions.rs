//! The contract grows and old components go on working, shown on a made-up package (wit/probe).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};

use archipel_model::ErrorKind;
use archipel_runtime::RuntimeLimits;
use archipel_runtime::probe::{Answer, Level, Probed, Question, ask};
use sha2::{Digest, Sha256};

/// The contract of 0.1.0 as it was frozen.
const FROZEN: [(&str, &str); 1] =
    [("0.1.0", "6d9032544fc03dee6c540d4e56face165d09660dc7f22d87cc37cd23a42b51f2")];

/// What a component of 0.1.0 looked like. Its score is ten for each byte of the word; an empty word is an error.
const OLD: &str = r#"(module
    (import "archipel:probe/host@0.1.0" "note" (func $note (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "an empty word")
    (data (i32.const 32) "looked at it")
    (global $top (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "archipel:probe/probe@0.1.0#check") (param $word i32) (param $bytes i32) (result i32)
        (call $note (i32.const 32) (i32.const 12))
        (if (i32.eqz (local.get $bytes))
            (then
                (i32.store8 (i32.const 64) (i32.const 1))
                (i32.store (i32.const 68) (i32.const 0))
                (i32.store (i32.const 72) (i32.const 13)))
            (else
                (i32.store8 (i32.const 64) (i32.const 0))
                (i32.store (i32.const 68) (i32.mul (local.get $bytes) (i32.const 10)))))
        (i32.const 64)))"#;

/// One of 0.2.0: the same score, less one where a locale is told, and a reason.
const NEW: &str = r#"(module
    (import "archipel:probe/host@0.2.0" "note" (func $note (param i32 i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "its length")
    (data (i32.const 32) "looked at it")
    (global $top (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "archipel:probe/probe@0.2.0#check")
        (param $word i32) (param $bytes i32) (param $told i32) (param i32 i32) (result i32)
        (call $note (i32.const 1) (i32.const 32) (i32.const 12))
        (i32.store8 (i32.const 64) (i32.const 0))
        (i32.store (i32.const 68) (i32.sub (i32.mul (local.get $bytes) (i32.const 10)) (local.get $told)))
        (i32.store (i32.const 72) (i32.const 96))
        (i32.store (i32.const 76) (i32.const 1))
        (i32.store (i32.const 96) (i32.const 0))
        (i32.store (i32.const 100) (i32.const 10))
        (i32.const 64)))"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/probe-0.1.0.wasm")
}

fn component(version: &str, core: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(repository().join("wit/probe").join(version)).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

async fn probed(wasm: &[u8], word: &str, locale: Option<&str>) -> Probed {
    let question = Question { word: word.to_owned(), locale: locale.map(str::to_owned) };
    ask(wasm, &question, &RuntimeLimits::default()).await.unwrap()
}

#[tokio::test]
async fn a_component_that_was_built_for_an_old_version_is_served_by_this_host() {
    let old = std::fs::read(fixture()).unwrap();
    let done = probed(&old, "word", Some("de-CH")).await;
    assert_eq!(done.version, "0.1.0");
    assert_eq!(done.answer.unwrap(), Answer { score: 40, reasons: vec![] });
    assert_eq!(done.notes, [(Level::Info, "looked at it".to_owned())]);
    let error = probed(&old, "", None).await.answer.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "an empty word"));
}

#[tokio::test]
async fn one_of_the_newest_version_stands_beside_it() {
    let new = component("0.2.0", NEW);
    let done = probed(&new, "word", Some("de-CH")).await;
    assert_eq!(done.version, "0.2.0");
    assert_eq!(done.answer.unwrap(), Answer { score: 39, reasons: vec!["its length".to_owned()] });
    assert_eq!(done.notes, [(Level::Warn, "looked at it".to_owned())]);
    assert_eq!(probed(&new, "word", None).await.answer.unwrap().score, 40);
}

#[tokio::test]
async fn a_version_of_tomorrow_is_refused_with_those_of_today() {
    let mut tomorrow = component("0.2.0", NEW);
    while let Some(at) = tomorrow.windows(6).position(|word| word == b"@0.2.0") {
        tomorrow[at..at + 6].copy_from_slice(b"@0.9.0");
    }
    let question = Question { word: "w".to_owned(), locale: None };
    let error = ask(&tomorrow, &question, &RuntimeLimits::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(
        error.message.contains("@0.9.0") && error.message.contains("serves archipel:probe 0.1.0 and 0.2.0"),
        "{error}"
    );
}

#[test]
fn a_frozen_contract_does_not_change() {
    for (version, digest) in FROZEN {
        let text = std::fs::read(repository().join("wit/probe").join(version).join("probe.wit")).unwrap();
        let now: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(now, digest, "wit/probe/{version} is frozen; a change is a new version");
    }
}

/// How the fixture was made, once: `cargo test -p archipel-runtime --test versions -- --ignored`.
#[test]
#[ignore = "the fixture is older than this host, and must stay so"]
fn the_fixture_is_made() {
    std::fs::write(fixture(), component("0.1.0", OLD)).unwrap();
}

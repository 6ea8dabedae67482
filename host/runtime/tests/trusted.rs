//! Who may change what a plugin does: signatures and what they count for, and upgrades that ask for more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use archipel_model::plugin_admin::PluginState;
use archipel_runtime::explain::digest;
use serde_json::json;
use support::{ALLOW, AUTHORIZATION, AUTHZ, Started, authorization, component, manifest};

/// Made by minisign 0.11, of other bytes than any plugin here.
const KEY: &str = "RWTEsQT48gp9hXd6ZxxlCWwBjYfHbSupXug2BGCdL4TNH4RQc3S8h28I";
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\nRUTEsQT48gp9hc0mAYe6kB2yKi/D5DEsaL9xHoCpMf+4EX3mujCrXU99r0PVYToG7ScvhVFlGk9rNesgveElp62uSrhC93t+uAw=\ntrusted comment: timestamp:1795342396	file:a.wasm	hashed\nter6qYx+xXR8DpRebD4DBIwtzmra0CHT4xKzItWlMi3FBixjlycKLy/iTSpktzP5TQhs9/olWtJniOflNF62Aw==\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_signed_and_is_not_does_not_serve() {
    let required = format!(
        "{AUTHZ}[signatures]\nrequired = [\"archipel:aaa/*\"]\n[[signatures.key]]\nname = \"ops\"\nkey = \"{KEY}\"\n"
    );
    let site = Started::new(&[("authz.wasm", &authorization(0, ALLOW))], &required).await;
    assert_eq!(
        site.error("authz"),
        "[signatures] requires that archipel:aaa/authorization@0.1.0 is signed, and it is not signed; sign it with minisign (keys that count: ops) and put NAME.wasm.minisig beside it"
    );
    site.runtime.reconfigure(toml::from_str(AUTHZ).unwrap()).await.unwrap();
    assert_eq!(site.status("authz").state, PluginState::Live);
    let refused = site.runtime.reconfigure(toml::from_str(&required).unwrap()).await.unwrap_err();
    assert!(refused[0].contains("it is not signed"), "{refused:?}");
    assert!(site.authorize().await.is_ok(), "the old configuration serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_other_bytes_refuses_where_its_key_counts() {
    let plugin = authorization(0, ALLOW);
    let known = format!("{AUTHZ}[[signatures.key]]\nname = \"ops\"\nkey = \"{KEY}\"\n");
    let site = Started::new(&[("authz.wasm", &plugin)], &known).await;
    assert_eq!(site.status("authz").state, PluginState::Live);
    site.drop_file("authz.wasm.minisig", SIGNATURE.as_bytes());
    site.until("authz", |status| status.state == PluginState::Rejected).await;
    assert_eq!(
        site.error("authz"),
        "its signature is wrong: it is of other bytes than these; sign these bytes again, or take authz.wasm.minisig away"
    );
    // To a site that does not know the key it is as no signature.
    site.runtime.reconfigure(toml::from_str(AUTHZ).unwrap()).await.unwrap();
    assert_eq!(site.status("authz").state, PluginState::Live);
    let problems = site.runtime.reconfigure(toml::from_str(&known).unwrap()).await.unwrap_err();
    assert!(problems[0].contains("its signature is wrong"), "{problems:?}");
    std::fs::remove_file(site.folder.path().join("plugins/authz.wasm.minisig")).unwrap();
    site.runtime.admin().reload(None).await.unwrap();
    site.runtime.reconfigure(toml::from_str(&known).unwrap()).await.unwrap();
    assert_eq!(site.status("authz").state, PluginState::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_to_a_key_takes_nothing_unsigned() {
    let pinned = format!("{AUTHZ}[grants.authz]\npin = \"key:ops\"\n");
    let site = Started::new(&[("authz.wasm", &authorization(0, ALLOW))], &pinned).await;
    assert_eq!(
        site.error("authz"),
        "the grant of authz is pinned to key \"ops\", and it is not signed; sign it with that key, or change the pin under [grants.authz]"
    );
}

fn asking(storage: u64) -> Vec<u8> {
    let core = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "archipel:aaa/authorization@0.1.0#is-authorized") (param i32) (result i32) (i32.const 64))
        (func (export "archipel:aaa/authorization@0.1.0#are-authorized") (param i32) (result i32) (i32.const 64)))"#;
    let mut asks = manifest(&[AUTHORIZATION]);
    if storage > 0 {
        asks["capabilities"] = json!({"storage": {"bytes": storage, "reason": "keeps"}});
    }
    component("authorization-plugin", core, &asks)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_asks_for_more_waits_and_one_that_asks_for_less_does_not() {
    let config = format!("{AUTHZ}[grants.authz]\nstorage = \"1 KiB\"\n");
    let site = Started::new(&[("authz.wasm", &asking(1024))], &config).await;
    let first = site.status("authz").digest.unwrap();
    site.drop_file("authz.wasm", &asking(2048));
    let status = site.until("authz", |status| status.last_error.is_some()).await;
    assert_eq!((status.state, status.digest.unwrap()), (PluginState::Live, first));
    let error = status.last_error.unwrap();
    let diff = "beside the version that serves on, it asks besides for storage 2 KiB instead of 1 KiB";
    assert!(error.contains(diff) && error.contains("[grants.authz]\nstorage = \"2 KiB\""), "{error}");
    assert!(site.authorize().await.is_ok());

    site.drop_file("authz.wasm", &asking(0));
    let status = site.until("authz", |status| status.last_error.is_none()).await;
    assert_eq!(status.digest.unwrap(), digest(&asking(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_asks_for_more_waits_even_where_the_grant_has_room_for_it() {
    let room = format!("{AUTHZ}[grants.authz]\nstorage = \"8 KiB\"\n");
    let site = Started::new(&[("authz.wasm", &asking(1024))], &room).await;
    site.drop_file("authz.wasm", &asking(2048));
    let status = site.until("authz", |status| status.last_error.is_some()).await;
    assert_eq!(status.digest.unwrap(), digest(&asking(1024)), "the version before serves on");
    let accept = format!("accept = [\"{}\"]", digest(&asking(2048)));
    let told = status.last_error.unwrap();
    assert!(
        told.ends_with(&format!(
            "it asks besides for storage 2 KiB instead of 1 KiB, which the versions that served before did not; the grant has room for it, but such a version waits for you: if you trust it, write {accept} under [grants.authz] (archipel plugin grant authz --accept --write)"
        )),
        "{told}"
    );
    // What served is remembered: neither a restart nor a folder that was empty for a while lets it in.
    site.runtime.shutdown().await;
    let site = site.again(&room).await;
    assert!(site.error("authz").contains("waits for you"), "{}", site.error("authz"));
    assert!(site.authorize().await.is_err(), "nothing else is there to serve");

    let accepted = format!("{room}{accept}\n");
    site.runtime.reconfigure(toml::from_str(&accepted).unwrap()).await.unwrap();
    site.until("authz", |status| status.state == PluginState::Live && status.last_error.is_none()).await;
    // Less follows by itself, and what served once may come back.
    for storage in [0, 2048, 1024] {
        site.drop_file("authz.wasm", &asking(storage));
        site.until("authz", |status| {
            status.digest.as_ref() == Some(&digest(&asking(storage))) && status.last_error.is_none()
        })
        .await;
    }
    site.drop_file("authz.wasm", &asking(4096));
    site.until("authz", |status| status.last_error.is_some()).await;
    // Under a pin to bytes those decide alone.
    let pinned = format!("{room}pin = \"digest\"\naccept = [\"{}\"]\n", digest(&asking(4096)));
    site.runtime.reconfigure(toml::from_str(&pinned).unwrap()).await.unwrap();
    site.until("authz", |status| status.digest.as_ref() == Some(&digest(&asking(4096)))).await;
}

//! Handles and their calls, storage and its classes.

use archipel_bindings::handles::Secret;
use archipel_bindings::latest::archipel::host::credentials::{
    Host as _, HostLocalToken as _, HostSecret as _, HostUserSession as _,
};
use archipel_bindings::latest::archipel::host::storage::Host as _;
use archipel_bindings::latest::archipel::host::types::ErrorKind;
use archipel_model::{LocalToken, SecretBytes};
use wasmtime::component::Resource;

use super::*;

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

#[tokio::test]
async fn a_handle_of_an_earlier_call_opens_nothing_not_even_a_later_secret() {
    let mut state = state(&services(), "a", CallClass::Driver, "");
    let old = state.give_secret("login.password", secret("first")).unwrap().rep();
    state.end_call();
    state.begin_call(call(CallClass::Driver));
    let new = state.give_secret("login.password", secret("second")).unwrap();
    assert_ne!(old, new.rep());
    assert!(state.secret(&Resource::new_borrow(old)).unwrap_err().message.contains("earlier call"));
    assert_eq!(state.name(Resource::<Secret>::new_borrow(old)).unwrap(), "");
    assert!(state.take_secret(Resource::new_own(old)).is_err());
    assert_eq!(state.secret(&new).unwrap().bytes.reveal(), b"second");
}

#[tokio::test]
async fn what_the_plugin_keeps_of_an_earlier_call_is_empty() {
    let mut state = state(&services(), "a", CallClass::Driver, "");
    let rep = state.give_secret("login.password", secret("first")).unwrap().rep();
    state.end_call();
    let row: &Secret = state.table.get(&Resource::new_borrow(rep)).unwrap();
    assert!(row.bytes.reveal().is_empty());
}

#[tokio::test]
async fn lent_rows_do_not_pile_up_in_a_warm_instance() {
    let mut state = state(&services(), "a", CallClass::Driver, "");
    let token = LocalToken {
        account: "p".into(),
        secret: Some(secret("t")),
        expires_at: None,
        attributes: "{}".into(),
        made_by: "m".into(),
    };
    for _ in 0..1000 {
        state.lend_token(token.clone()).unwrap();
        state.lend_session(secret("s")).unwrap();
        state.end_call();
        state.begin_call(call(CallClass::Driver));
    }
}

#[tokio::test]
async fn a_plugin_that_holds_on_to_everything_is_stopped() {
    let mut state = state(&services(), "a", CallClass::Driver, "");
    let mut made = 0;
    let error = loop {
        match state.wrap("x".into(), vec![1; 10]).await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!((50..=100).contains(&made), "{made}");
    assert!(error.message.contains("too many handles"));
}

#[tokio::test]
async fn secrets_are_opened_by_grant_alone_and_refusals_do_not_tell_which_exist() {
    let services = services();
    let rule = r#"secrets = [{ name = "admin", origin = "https://k.test", methods = ["POST"], path = "/", placement = "json" }]"#;
    let mut granted = state(&services, "a", CallClass::Aaa, rule);
    let handle = granted.open("admin".into()).await.unwrap().unwrap();
    assert_eq!(granted.name(handle).unwrap(), "admin");
    let mut other = state(&services, "a", CallClass::Aaa, "");
    let there = other.open("admin".into()).await.unwrap().unwrap_err();
    let absent = other.open("nimda".into()).await.unwrap().unwrap_err();
    assert_eq!(there.kind, ErrorKind::Forbidden);
    assert_eq!(
        there.message.replace("admin", "X"),
        absent.message.replace("nimda", "X").replace("admin", "X")
    );
}

#[tokio::test]
async fn a_local_token_carries_its_secret_and_its_maker() {
    let mut state = state(&services(), "mapper", CallClass::Aaa, "");
    let inner = state.wrap("pw".into(), b"bytes".to_vec()).await.unwrap().unwrap();
    let token = state
        .make_local_token("project".into(), Some(inner), Some(60_000), r#"{"a":1}"#.into())
        .await
        .unwrap()
        .unwrap();
    assert!(
        state
            .expires_in_ms(Resource::new_borrow(token.rep()))
            .unwrap()
            .is_some_and(|ms| (50_000..=60_000).contains(&ms))
    );
    let token = state.take_token(token).unwrap();
    assert_eq!((token.made_by.as_str(), token.secret.unwrap().reveal()), ("mapper", &b"bytes"[..]));
    for (account, attributes) in [("", "{}"), ("a", "{"), ("a", "")] {
        assert!(
            state.make_local_token(account.into(), None, None, attributes.into()).await.unwrap().is_err()
        );
    }
}

#[tokio::test]
async fn the_session_of_a_user_is_a_secret_of_that_name() {
    let mut state = state(&services(), "mapper", CallClass::Aaa, "");
    let session = state.lend_session(secret("user-token")).unwrap();
    let token = state.token(session).unwrap();
    assert_eq!(state.name(Resource::new_borrow(token.rep())).unwrap(), "session");
    assert_eq!(state.take_secret(token).unwrap().reveal(), b"user-token");
}

#[tokio::test]
async fn storage_is_read_only_during_aaa_closed_during_init_and_apart_by_binding() {
    let services = services();
    let grant = "storage = \"1 MiB\"";
    let mut driver = state(&services, "a", CallClass::Driver, grant);
    driver.set("k".into(), b"v".to_vec()).await.unwrap().unwrap();
    assert!(
        driver.compare_and_swap("k".into(), Some(b"v".to_vec()), Some(b"w".to_vec())).await.unwrap().unwrap()
    );
    assert!(driver.end_call().storage_written);
    for class in [CallClass::Aaa, CallClass::Init] {
        let mut reader = state(&services, "a", class, grant);
        let (read, listed) =
            (reader.get("k".into()).await.unwrap(), reader.list_keys(String::new(), None, 10).await.unwrap());
        if class == CallClass::Aaa {
            assert_eq!(read.unwrap().as_deref(), Some(&b"w"[..]));
            assert_eq!(listed.unwrap().keys, ["k"]);
        } else {
            assert_eq!(read.unwrap_err().kind, ErrorKind::Forbidden);
            assert_eq!(listed.unwrap_err().kind, ErrorKind::Forbidden);
        }
        assert_eq!(reader.set("k".into(), vec![]).await.unwrap().unwrap_err().kind, ErrorKind::Forbidden);
        assert_eq!(reader.delete("k".into()).await.unwrap().unwrap_err().kind, ErrorKind::Forbidden);
        assert!(reader.compare_and_swap("k".into(), None, None).await.unwrap().is_err());
        assert!(!reader.end_call().storage_written);
    }
    let mut other = state(&services, "b", CallClass::Driver, grant);
    assert_eq!(other.get("k".into()).await.unwrap().unwrap(), None);
    assert!(other.list_keys(String::new(), None, 10).await.unwrap().unwrap().keys.is_empty());
}

#[tokio::test]
async fn storage_without_a_grant_and_beyond_its_limits_is_refused() {
    let services = services();
    let mut none = state(&services, "a", CallClass::Driver, "");
    assert_eq!(none.set("k".into(), vec![]).await.unwrap().unwrap_err().kind, ErrorKind::Forbidden);
    let mut some = state(&services, "a", CallClass::Driver, "storage = 1000000");
    for (key, value) in
        [(String::new(), vec![]), ("k".repeat(257), vec![]), ("k".into(), vec![0; 256 * 1024 + 1])]
    {
        assert_eq!(some.set(key, value).await.unwrap().unwrap_err().kind, ErrorKind::Invalid);
    }
    for limit in [0, 1001] {
        assert!(some.list_keys(String::new(), None, limit).await.unwrap().is_err());
    }
}

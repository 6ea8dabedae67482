//! Signing, verifying, passwords, and an issuer on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use archipel_bindings::handles::Secret;
use archipel_bindings::latest::archipel::host::crypto::Host as _;
use archipel_bindings::latest::archipel::host::types::ErrorKind;
use archipel_model::SecretBytes;
use archipel_vault::Signer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wasmtime::component::Resource;

use super::cloud::Cloud;
use super::*;

const SIGNS: &str =
    "crypto = [{ purpose = \"session\", lifetime_s_max = 60 }, { purpose = \"reset\", lifetime_s_max = 60 }]";

fn give(state: &mut CallState, bytes: &[u8]) -> Resource<Secret> {
    state.give_secret("session", SecretBytes::new(bytes.to_vec())).unwrap()
}

fn again(handle: &Resource<Secret>) -> Resource<Secret> {
    Resource::new_borrow(handle.rep())
}

#[tokio::test]
async fn what_a_binding_signs_is_good_for_it_and_its_purpose_alone() {
    let services = services();
    let mut one = state(&services, "one", CallClass::Aaa, SIGNS);
    let token = one
        .sign("session".into(), r#"{"sub":"alice","iss":"evil","exp":99999999999}"#.into(), 3600)
        .await
        .unwrap()
        .unwrap();
    let claims: Value =
        serde_json::from_str(&one.verify("session".into(), again(&token)).await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["iss"], &claims["aud"]),
        (&json!("alice"), &json!("site-a.test"), &json!("archipel:one:session"))
    );
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 60, "the grant's limit counts, not what the plugin asked for");
    assert_eq!(
        one.verify("reset".into(), again(&token)).await.unwrap().unwrap_err().kind,
        ErrorKind::Unauthenticated
    );
    let bytes = one.take_secret(token).unwrap();
    let mut two = state(&services, "two", CallClass::Aaa, SIGNS);
    let copied = give(&mut two, bytes.reveal());
    assert_eq!(
        two.verify("session".into(), copied).await.unwrap().unwrap_err().kind,
        ErrorKind::Unauthenticated
    );
}

#[tokio::test]
async fn purposes_without_a_grant_and_malformed_claims_are_refused() {
    let services = services();
    let mut none = state(&services, "one", CallClass::Aaa, "");
    assert_eq!(
        none.sign("session".into(), "{}".into(), 60).await.unwrap().unwrap_err().kind,
        ErrorKind::Forbidden
    );
    let mut some = state(&services, "one", CallClass::Aaa, SIGNS);
    for (claims, life) in [("[]", 60), ("", 60), ("{}", 0)] {
        assert_eq!(
            some.sign("session".into(), claims.into(), life).await.unwrap().unwrap_err().kind,
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn passwords_are_checked_by_handle() {
    let mut state = state(&services(), "one", CallClass::Aaa, "");
    let password = give(&mut state, b"correct horse");
    let hash = state.hash_password(again(&password)).await.unwrap().unwrap();
    assert!(state.check_password(again(&password), hash.clone()).await.unwrap().unwrap());
    let wrong = give(&mut state, b"battery staple");
    assert!(!state.check_password(wrong, hash).await.unwrap().unwrap());
}

/// An issuer with one key, and how often its documents were asked for.
async fn issuer(signer: &Signer, kid: &'static str) -> (Cloud, Arc<AtomicUsize>) {
    let public = URL_SAFE_NO_PAD.encode(signer.public_key());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let cloud = Cloud::start(move |head, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let document = match head.split(' ').nth(1).unwrap() {
            "/.well-known/openid-configuration" => json!({
                "issuer": format!("http://{host}"),
                "authorization_endpoint": format!("http://{host}/auth"),
                "jwks_uri": format!("http://{host}/jwks"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["EdDSA"]
            }),
            _ => json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": public}]}),
        };
        format!("200 OK\ncontent-type: application/json\n\n{document}")
    })
    .await;
    (cloud, asked)
}

#[tokio::test]
async fn a_token_of_an_issuer_is_verified_with_keys_fetched_once() {
    let signer = Keys::from_master([9; 32]).signer(&["issuer"]);
    let kid: &'static str = Box::leak(signer.key_id().to_owned().into_boxed_str());
    let (cloud, asked) = issuer(&signer, kid).await;
    let grant = format!("hosts = [\"{}\"]\nprivate = true", cloud.url(""));
    let mut state = state(&services(), "oidc", CallClass::Aaa, &grant);
    let now = archipel_model::Clock::now(&SystemClock).as_millis() / 1000;
    let claims = json!({"iss": cloud.url(""), "sub": "alice", "aud": "site", "exp": now + 60});
    let token = signer.sign("JWT", claims.as_object().unwrap());

    for _ in 0..3 {
        let handle = give(&mut state, token.as_bytes());
        let verified = state.verify_jws(handle, cloud.url(""), Some("site".into())).await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&verified).unwrap()["sub"], "alice");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "discovery and keys, once");

    let wrong_audience = give(&mut state, token.as_bytes());
    assert!(state.verify_jws(wrong_audience, cloud.url(""), Some("other".into())).await.unwrap().is_err());
    let strange = Keys::from_master([8; 32]).signer(&["issuer"]).sign("JWT", claims.as_object().unwrap());
    for _ in 0..5 {
        let handle = give(&mut state, strange.as_bytes());
        let error = state.verify_jws(handle, cloud.url(""), None).await.unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "unknown key ids do not make us ask again and again");
}

#[tokio::test]
async fn an_issuer_that_is_not_granted_is_not_asked() {
    let signer = Keys::from_master([9; 32]).signer(&["issuer"]);
    let (cloud, asked) = issuer(&signer, "k").await;
    let mut state = state(&services(), "oidc", CallClass::Aaa, "");
    let token = signer.sign("JWT", json!({"iss": cloud.url("")}).as_object().unwrap());
    let handle = give(&mut state, token.as_bytes());
    let error = state.verify_jws(handle, cloud.url(""), None).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

//! From credentials to a token.

use std::time::Duration;

use archipel_model::plugin::{Challenge, Decision, Field, LoginOutcome, Operation};
use archipel_model::{Error, ErrorKind, SecretBytes, Timestamp};

use super::fakes::*;
use crate::{AAA_UNAVAILABLE, Login, RATE_LIMITED, RequestInfo};

fn secrets(given: &[(&str, &str)]) -> Vec<(String, SecretBytes)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), SecretBytes::new(*value))).collect()
}

#[tokio::test]
async fn bindings_tell_what_they_ask_for_once() {
    let world = World::new();
    world.swap(|next| {
        let mut foreign = binding(&world.fake, "foreign", &["https://other.example.org"]);
        foreign.generator = None;
        next.identity.push(foreign);
    });
    let shown = serde_json::to_value(world.identity.bindings().await).unwrap();
    assert_eq!(shown[0]["fields"][1]["name"], "password");
    assert_eq!((shown[1]["login"].as_bool(), shown[1]["name"].as_str()), (Some(false), Some("foreign")));
    world.identity.bindings().await;
    assert_eq!(world.fake.count("fields"), 1);
}

#[tokio::test]
async fn credentials_are_checked_before_the_plugin_sees_them() {
    let world = World::new();
    let login = async |given: &[(&str, &str)]| {
        world.identity.login(None, secrets(given), None, &request()).await.unwrap_err()
    };
    assert_eq!(login(&[("username", "u")]).await.kind, ErrorKind::Invalid);
    assert!(login(&[("username", "u"), ("pass", "p")]).await.message.contains("\"pass\""));
    assert_eq!(world.fake.count("create"), 0);
    let named = world.identity.login(Some("nobody"), vec![], None, &request()).await.unwrap_err();
    assert!(named.has_code("unknown-binding") && named.message.contains("local"), "{named}");
}

#[tokio::test]
async fn wrong_credentials_have_one_answer() {
    let world = World::new();
    let mut texts = Vec::new();
    for error in [
        Error::unauthenticated("no such user"),
        Error::unauthenticated("bad password"),
        Error::not_found("x"),
    ] {
        world.fake.script().issued = Err(error);
        let error = world.login().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        texts.push(error.message);
    }
    texts.dedup();
    assert_eq!(texts, ["these credentials are not accepted; check them and try again"]);
    world.fake.script().issued = Err(Error::transient("x").code("plugin-deadline"));
    assert!(world.login().await.unwrap_err().has_code(AAA_UNAVAILABLE));
    world.fake.script().issued = Err(Error::invalid("the username has a space; remove it"));
    assert_eq!(world.login().await.unwrap_err().message, "the username has a space; remove it");
}

#[tokio::test]
async fn what_a_generator_issues_is_judged_before_a_session_is_made() {
    let world = World::new();
    world.fake.script().user.issuer = "https://evil.example.org".into();
    assert_eq!(world.login().await.unwrap_err().kind, ErrorKind::Unauthenticated);
    world.fake.script().user.issuer = ISSUER.into();
    let no = Decision::Deny { reason: "closed for the holidays".into(), obligations: vec![] };
    world.fake.script().decisions.insert("second", Ok(no));
    let error = world.login().await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Forbidden, "closed for the holidays"));
    assert!(world.sessions.sessions.lock().unwrap().is_empty());
    assert!(world.fake.script().operations.iter().all(|operation| *operation == Operation::Login));
    world.fake.script().decisions.insert("second", Ok(allow(archipel_model::plugin::Reach::Own)));
    world.fake.script().store_away = true;
    assert!(
        world.login().await.unwrap_err().has_code("store-unavailable"),
        "no token without a durable session"
    );
}

#[tokio::test]
async fn a_session_ends_with_whatever_ends_first() {
    let world = World::new();
    let end = async || match world.login().await.unwrap() {
        Login::Issued { expires_at, .. } => expires_at.as_millis() - 1_800_000_000_000,
        other => panic!("{other:?}"),
    };
    assert_eq!(end().await, 12 * 3600 * 1000);
    world.fake.script().user.expires_at = Some(Timestamp::from_millis(1_800_000_060_700));
    assert_eq!(end().await, 60_000);
    world.fake.script().issued = Ok(LoginOutcome::Issued {
        token: SecretBytes::new("inner"),
        expires_at: Some(Timestamp::from_millis(1_800_000_030_000)),
    });
    assert_eq!(end().await, 30_000);
    world.fake.script().user.expires_at = Some(Timestamp::from_millis(1_800_000_000_000));
    assert_eq!(world.login().await.unwrap_err().kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_challenge_goes_through_the_clients_hands_sealed() {
    let world = World::new();
    world.fake.script().issued = Ok(LoginOutcome::Challenge(Challenge {
        prompt: "the code from your phone".into(),
        fields: vec![Field { name: "otp".into(), label: "code".into(), secret: true, required: true }],
        uri: None,
        interval_s: None,
        state: "plugin state".into(),
    }));
    let Login::Challenge { state, binding, expires_at, .. } = world.login().await.unwrap() else { panic!() };
    assert_eq!(binding, "local");
    assert_eq!(expires_at.as_millis(), 1_800_000_600_500);
    assert!(!state.contains("plugin"));
    let answer = async |binding, state: &str, given: &[(&str, &str)]| {
        world.identity.login(binding, secrets(given), Some(state), &request()).await
    };
    let otp = [("otp", "123456")];
    assert!(matches!(answer(None, &state, &otp).await, Ok(Login::Issued { .. })));
    assert!(answer(Some("other"), &state, &otp).await.unwrap_err().has_code("bad-challenge"));
    assert!(answer(None, &format!("{state}A"), &otp).await.unwrap_err().has_code("bad-challenge"));
    assert!(answer(None, "x", &otp).await.unwrap_err().has_code("bad-challenge"));
    assert!(answer(None, &state, &[]).await.unwrap_err().message.contains("otp"));
    world.fake.turn(Duration::from_secs(600));
    assert!(answer(None, &state, &otp).await.unwrap_err().has_code("challenge-expired"));
}

#[tokio::test]
async fn logins_are_bounded_per_address() {
    let world = World::new();
    for _ in 0..20 {
        world.login().await.unwrap();
    }
    let error = world.login().await.unwrap_err();
    assert!(error.has_code(RATE_LIMITED) && error.retry_after == Some(Duration::from_millis(100)));
    let other = RequestInfo { client_address: Some("192.0.2.9:1".into()), ..request() };
    let given = secrets(&[("username", "a"), ("password", "b")]);
    world.identity.login(None, given, None, &other).await.unwrap();
    world.fake.turn(Duration::from_millis(100));
    world.login().await.unwrap();
}

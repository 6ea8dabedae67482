//! Who holds a token.

use std::time::Duration;

use archipel_model::plugin::Verdict;
use archipel_model::{Error, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fakes::*;
use crate::{AAA_UNAVAILABLE, BUILT_IN_ISSUER, IdentityConfig};

const REFUSED: &str = "the token is missing, wrong or has ended; log in again";

fn jwt(issuer: &str, subject: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!("{{\"iss\":\"{issuer}\",\"sub\":\"{subject}\"}}");
    format!("{}.{}.{}", part("{\"alg\":\"none\"}"), part(&claims), part("x"))
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unauthenticated, REFUSED));
}

#[track_caller]
fn is_away<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert!(error.kind == ErrorKind::Transient && error.has_code(AAA_UNAVAILABLE), "{error:?}");
    assert!(error.retry_after.is_some());
}

#[tokio::test]
async fn a_token_says_who_its_holder_is() {
    let world = World::new();
    let token = world.token().await;
    let caller = world.who(&token).await.unwrap();
    assert_eq!((caller.user.subject.as_str(), caller.binding.as_str()), ("alice", "local"));
    assert_eq!(caller.group.as_deref(), Some("physics"));
    assert_eq!(caller.token.unwrap().reveal(), b"inner");
    assert!(
        world.fake.script().seen_tokens.iter().all(|token| token == b"inner"),
        "plugins see the inner token"
    );
    assert!(!token.contains("inner"));
    let stored = world.sessions.sessions.lock().unwrap().values().next().unwrap().clone();
    assert!(!stored.sealed_token.windows(5).any(|bytes| bytes == b"inner"), "it lies sealed");
}

#[tokio::test]
async fn a_forged_tampered_or_misused_token_is_refused_without_asking_anyone() {
    let world = World::new();
    let token = world.token().await;
    let asked = world.fake.count("identity");
    is_refused(world.elsewhere(8, "site-a.example.org").authenticate(&token, None, &request()).await);
    is_refused(world.elsewhere(7, "site-b.example.org").authenticate(&token, None, &request()).await);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let payload = signed.strip_prefix("arch1.").unwrap();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let longer = claims.replace("\"exp\":1", "\"exp\":9");
    for bent in [
        format!("arch1.{}.{signature}", URL_SAFE_NO_PAD.encode(longer)),
        format!("{token}A"),
        signed.to_owned(),
        "arch1.".to_owned(),
        "arch1.e30.e30".to_owned(),
        "arch1".to_owned() + &"x".repeat(20_000),
        String::new(),
    ] {
        is_refused(world.who(&bent).await);
    }
    assert_eq!(world.fake.count("identity"), asked);
    assert_eq!(world.fake.count("session"), 0);
}

#[tokio::test]
async fn a_token_ends_with_its_session() {
    let world = World::new();
    let token = world.token().await;
    world.fake.turn(Duration::from_secs(12 * 3600 - 1));
    world.who(&token).await.unwrap();
    world.fake.turn(Duration::from_secs(1));
    is_refused(world.who(&token).await);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_although_it_was_cached() {
    let world = World::new();
    let (token, other) = (world.token().await, world.token().await);
    let caller = world.who(&token).await.unwrap();
    world.who(&other).await.unwrap();
    let mut told = world.identity.revocations();
    world.identity.revoke_current(&caller).await.unwrap();
    told.changed().await.unwrap();
    is_refused(world.who(&token).await);
    world.who(&other).await.unwrap();
    let all = world.identity.sessions(&caller).await.unwrap();
    assert!(all.len() == 2 && all.iter().all(|session| session.sealed_token.is_empty()));
}

#[tokio::test]
async fn a_judgement_made_before_a_revocation_is_not_used_after_it() {
    let world = World::new();
    let token = world.token().await;
    let caller = world.who(&token).await.unwrap();
    let epoch = world.identity.caches.epoch();
    world.identity.revoke_current(&caller).await.unwrap();
    // A request that read the session before the revocation now keeps what it found.
    let now = archipel_model::Clock::now(&world.fake);
    let known = crate::cache::KnownToken {
        user: caller.user,
        user_digest: [0; 32],
        binding: caller.binding,
        session: caller.session,
        token: caller.token.unwrap(),
        expires_at: None,
        group: None,
    };
    world.identity.caches.keep_token([1; 32], known.clone(), epoch, now.plus(Duration::from_secs(9)));
    assert!(world.identity.caches.token(&[1; 32], now).is_none());
    let epoch = world.identity.caches.epoch();
    world.identity.caches.keep_token([1; 32], known, epoch, now.plus(Duration::from_secs(9)));
    assert!(world.identity.caches.token(&[1; 32], now).is_some());
}

#[tokio::test]
async fn a_judgement_is_reused_for_the_shortest_of_all_bounds() {
    let world = World::new();
    let token = world.token().await;
    let start = world.fake.count("authentication");
    let asked = async |after_ms: u64| {
        world.fake.turn(Duration::from_millis(after_ms));
        world.who(&token).await.unwrap();
        world.fake.count("authentication") - start
    };
    assert_eq!(asked(0).await, 1);
    assert_eq!(asked(9_999).await, 1, "auth_cache_ttl is 10 s");
    assert_eq!(asked(1).await, 2);
    world.swap(|_| ());
    assert_eq!(asked(0).await, 3, "a swap empties the cache");
    world.identity.forget_cached();
    let soon = world.fake.script().now.plus(Duration::from_secs(2));
    world.fake.script().verdict = Ok(Verdict::Authentic { until: Some(soon) });
    assert_eq!(asked(0).await, 4);
    assert_eq!(asked(1_999).await, 4);
    world.fake.script().verdict = Ok(Verdict::Authentic { until: Some(soon) });
    assert_eq!(asked(1).await, 5);
    assert_eq!(asked(0).await, 6, "a validity that has ended is not kept");
}

#[tokio::test]
async fn with_a_ttl_of_nothing_every_request_is_judged() {
    let world =
        World::with(IdentityConfig { auth_cache_ttl: Duration::ZERO, ..IdentityConfig::new(site_id()) });
    let token = world.token().await;
    let start = world.fake.count("authentication");
    for _ in 0..3 {
        world.who(&token).await.unwrap();
    }
    assert_eq!(world.fake.count("authentication"), start + 3);
}

#[tokio::test]
async fn a_user_of_an_issuer_that_the_binding_may_not_speak_for_is_refused() {
    let world = World::new();
    let token = world.token().await;
    for issuer in [
        "https://evil.example.org",
        "https://idp.example.org/",
        "HTTPS://idp.example.org",
        BUILT_IN_ISSUER,
        "",
    ] {
        world.fake.script().user.issuer = issuer.into();
        is_refused(world.who(&token).await);
    }
    world.swap(|next| next.identity[0].issuers = vec![BUILT_IN_ISSUER.into()]);
    world.fake.script().user.issuer = BUILT_IN_ISSUER.into();
    is_refused(world.who(&token).await);
}

#[tokio::test]
async fn a_session_belongs_to_one_user() {
    let world = World::new();
    let token = world.token().await;
    world.fake.script().user.subject = "bob".into();
    is_refused(world.who(&token).await);
    world.fake.script().user.subject = "alice".into();
    world.fake.script().user.groups = vec!["a".into(), "b".into()];
    let caller = world.who(&token).await.unwrap();
    assert_eq!(caller.group, None, "of two groups none is the default");
    assert_eq!(caller.acting_for(Some("b")).unwrap().group.as_deref(), Some("b"));
    assert_eq!(caller.acting_for(Some("c")).unwrap_err().kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn what_the_plugins_refuse_is_refused_and_what_they_cannot_judge_is_away() {
    let world =
        World::with(IdentityConfig { auth_cache_ttl: Duration::ZERO, ..IdentityConfig::new(site_id()) });
    let token = world.token().await;
    world.fake.script().verdict = Ok(Verdict::NotAuthentic { reason: "left the company".into() });
    is_refused(world.who(&token).await);
    world.fake.script().verdict = Ok(Verdict::Authentic { until: None });
    world.fake.script().identity = Some(Error::unauthenticated("expired"));
    is_refused(world.who(&token).await);
    for code in ["plugin-trap", "plugin-deadline", "plugin-away"] {
        world.fake.script().identity = Some(Error::transient("x").code(code));
        is_away(world.who(&token).await);
        world.fake.script().identity = None;
        world.fake.script().verdict = Err(Error::transient("x").code(code));
        is_away(world.who(&token).await);
        world.fake.script().verdict = Ok(Verdict::Authentic { until: None });
    }
    world.fake.script().identity = Some(Error::internal("bug"));
    is_away(world.who(&token).await);
    world.fake.script().identity = None;
    world.fake.script().store_away = true;
    assert!(world.who(&token).await.unwrap_err().has_code("store-unavailable"));
}

#[tokio::test]
async fn a_binding_that_is_not_loaded_is_away_and_one_that_is_gone_is_refused() {
    let world = World::new();
    let token = world.token().await;
    world.swap(|next| {
        next.identity.clear();
        next.aaa_away = vec!["identity local: aaa-local.wasm is quarantined".into()];
    });
    is_away(world.who(&token).await);
    is_away(world.who(&jwt(ISSUER, "alice")).await);
    is_away(world.login().await);
    world.swap(|next| next.identity.clear());
    is_refused(world.who(&token).await);
}

#[tokio::test]
async fn a_foreign_jwt_goes_to_the_one_binding_that_speaks_for_its_issuer() {
    let world = World::new();
    let token = jwt(ISSUER, "alice");
    let caller = world.who(&token).await.unwrap();
    assert_eq!((caller.binding.as_str(), caller.session), ("local", None));
    assert_eq!(world.fake.script().seen_tokens.last().unwrap(), token.as_bytes());
    is_refused(world.who(&jwt("https://other.example.org", "alice")).await);
    let named = async |token: &str, name| world.identity.authenticate(token, Some(name), &request()).await;
    assert!(named(&token, "local").await.is_ok());
    is_refused(named(&token, "unknown").await);
    is_refused(named(&jwt("https://other.example.org", "alice"), "local").await);
    world.swap(|next| next.identity.push(binding(&world.fake, "twin", &[ISSUER])));
    is_refused(world.who(&token).await);
    assert_eq!(named(&token, "twin").await.unwrap().binding, "twin");
}

#[tokio::test]
async fn an_opaque_token_needs_the_name_of_its_binding() {
    let world = World::new();
    let error = world.who("opaque").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert!(error.message.contains("Archipel-Identity"), "{error}");
    assert_eq!(world.fake.count("identity"), 0, "never by trying all");
    let caller = world.identity.authenticate("opaque", Some("local"), &request()).await.unwrap();
    world.identity.revoke_current(&caller).await.unwrap();
    is_refused(world.identity.authenticate("opaque", Some("local"), &request()).await);
}

#[tokio::test]
async fn the_administrators_socket_needs_no_plugins() {
    let world = World::new();
    world.swap(|next| next.aaa_away = vec!["everything".into()]);
    let admin = world.identity.local_admin(&request());
    assert_eq!((admin.user.name.as_str(), admin.built_in_admin), ("local:admin", true));
    assert!(world.identity.revoke_current(&admin).await.is_err());
}

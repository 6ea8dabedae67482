//! Tokens that must not be believed: forged, expired, revoked, for another site, foreign. All are 401 with a challenge,
//! and none has an effect.

use std::time::{Duration, Instant};

use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use http::Method;
use serde_json::json;

async fn is_refused(client: &Client, what: &str) {
    let answer = client.get("/v1/me").await.unwrap();
    assert_eq!(answer.status(), 401, "{what}: {:?}", answer.json());
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
    assert_eq!(answer.json().unwrap()["type"], "urn:archipel:problem:unauthenticated", "{what}");
}

fn with(daemon: &Daemon, token: &str) -> Client {
    daemon.anonymous().with_token(token)
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let genuine = daemon.token("alice", site.password("alice")).await.unwrap();
    with(&daemon, &genuine).get("/v1/me").await.unwrap().success().unwrap();
    is_refused(&daemon.anonymous(), "none").await;

    let parts: Vec<&str> = genuine.split('.').collect();
    let swap = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let admin = daemon.token("admin", site.password("admin")).await.unwrap();
    let of_admin: Vec<&str> = admin.split('.').collect();
    for (what, token) in [
        ("another payload", format!("{}.{}.{}", parts[0], swap(parts[1], 12), parts[2])),
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], swap(parts[2], 3))),
        ("somebody else's payload", format!("{}.{}.{}", parts[0], of_admin[1], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("cut short", genuine[..genuine.len() - 1].to_owned()),
        ("another version", genuine.replacen("arch1", "arch2", 1)),
        ("nothing in it", "arch1..".to_owned()),
        ("one letter", "x".to_owned()),
        ("an opaque foreign one", "0123456789abcdef".to_owned()),
        (
            "a JWT of an unknown issuer",
            jwt(&json!({"alg": "RS256"}), &json!({"iss": "https://evil.example", "sub": "admin"})),
        ),
        (
            "an unsigned JWT",
            jwt(&json!({"alg": "none"}), &json!({"iss": archipel_tests::site::ISSUER, "sub": "admin"})),
        ),
        ("a very long one", format!("arch1.{}.x", "A".repeat(20_000))),
    ] {
        is_refused(&with(&daemon, &token), what).await;
    }
    // Whoever has no token learns nothing about what there is.
    for path in ["/v1/orders", "/v1/admin/plugins", "/v1/no-such-thing", "/v1/computes/x"] {
        assert_eq!(daemon.anonymous().get(path).await.unwrap().status(), 401, "{path}");
    }
    for scheme in ["Basic YWxpY2U6eA==", "Bearer", "bearer ", "Token x", ""] {
        let headers = [("authorization", scheme)];
        let answer = daemon.anonymous().send(Method::GET, "/v1/me", &headers, None).await.unwrap();
        assert_eq!(answer.status(), 401, "{scheme:?}");
    }
}

/// A JWT that nobody signed.
fn jwt(header: &serde_json::Value, claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.{}", part(header), part(claims), base64url(b"no signature"))
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_after_a_restart() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let one = daemon.login("alice").await.unwrap();
    let other_token = daemon.token("alice", site.password("alice")).await.unwrap();
    let one_token = daemon.token("alice", site.password("alice")).await.unwrap();
    let revoked = with(&daemon, &one_token);
    revoked.get("/v1/me").await.unwrap().success().unwrap();
    assert_eq!(revoked.delete("/v1/tokens/current").await.unwrap().status(), 204);
    is_refused(&revoked, "revoked").await;
    one.get("/v1/me").await.unwrap().success().unwrap();
    daemon.kill().unwrap();
    let daemon = site.start().await.unwrap();
    is_refused(&with(&daemon, &one_token), "revoked, after a restart").await;
    with(&daemon, &other_token).get("/v1/me").await.unwrap().success().unwrap();
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"identity": {"session_lifetime_s": 2}});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while alice.get("/v1/me").await.unwrap().status() == 200 {
        assert!(Instant::now() < until, "a token of two seconds is still good after a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    is_refused(&alice, "expired").await;
}

#[tokio::test]
async fn a_token_for_another_site_is_refused_even_where_the_keys_are_the_same() {
    let here = Site::temporary().unwrap();
    let daemon = here.start().await.unwrap();
    let token = daemon.token("alice", here.password("alice")).await.unwrap();
    assert!(daemon.stop().await.unwrap().success());

    let mut there = Site::temporary().unwrap();
    there.config["site"]["id"] = "site-b.example.org".into();
    archipel_tests::site::copy_folder(&here.data_dir().join("keys"), &there.data_dir().join("keys")).unwrap();
    let daemon = there.start().await.unwrap();
    is_refused(&with(&daemon, &token), "for another site").await;
    // The keys are good here: only the audience was wrong.
    daemon.login("alice").await.unwrap().get("/v1/me").await.unwrap().success().unwrap();
}

#[tokio::test]
async fn a_user_who_is_removed_or_whose_password_changes_is_out_after_the_cache() {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({"identity": {"auth_cache_ttl_s": 0.0}});
    let daemon = site.start().await.unwrap();
    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let users = site.config["identity"][0]["config"]["users"].as_array_mut().unwrap();
    users[0]["disabled"] = true.into();
    site.write().unwrap();
    daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap().success().unwrap();
    is_refused(&alice, "disabled").await;
    bob.get("/v1/me").await.unwrap().success().unwrap();
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike_for_known_and_unknown_names() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let mut told = Vec::new();
    for (name, password) in [("alice", "wrong"), ("nobody", "wrong")] {
        let body = json!({"binding": "local", "credentials": {"username": name, "password": password}});
        let answer = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
        assert_eq!(answer.status(), 401);
        told.push(answer.json().unwrap()["detail"].clone());
    }
    assert_eq!(told[0], told[1]);
    for body in [
        json!({"binding": "no-such", "credentials": {"username": "alice", "password": "x"}}),
        json!({"binding": "local", "credentials": {"username": "alice"}}),
        json!({"binding": "local", "credentials": {"username": ["alice"], "password": "x"}}),
        json!({"binding": "local", "credentials": {}, "extra": 1}),
        json!({}),
    ] {
        let answer = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
        assert!((400..500).contains(&answer.status()), "{body}: {}", answer.status());
    }
    assert!(!daemon.log().contains(site.password("alice")));
}

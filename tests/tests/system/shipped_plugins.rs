//! Every plugin that ships works with secrets, or beside those who do, and no call of any leaves one in a memory. The list is
//! that of the folder `plugins/`: a new plugin that this site does not call fails the test.
//!
//! The far sides are as bad as they can be: a Keystone that echoes whatever it is told, in headers and bodies, and the recorded
//! OpenStack. (Beside a real OpenStack the same watch runs in `cargo xtask test --peers openstack`.)

use std::path::Path;
use std::sync::{Arc, Mutex};

use archipel_tests::built;
use archipel_tests::memory_watch::MemoryWatch;
use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::replayed::Replayed;
use archipel_tests::site::{SITE_ID, Site};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What the recorded cloud wants to see.
const TOKEN: &str = "gAAAAAB-recorded/token+with=signs";
/// What a user's login gives.
const USERS_TOKEN: &str = "gAAAAAB-users/token+of=ada";
const USERS_PASSWORD: &str = "ada's correct+horse/battery";
const ACCOUNT_PASSWORD: &str = "the account's staple&é\"";
const EMULATED_SECRET: &str = "emulated/secret+key=";

/// Plugins of the folder `plugins/`: those that are components. Benchmarks are left out: their world has no secrets to import,
/// and they run in the process of whoever asks for the run.
fn shipped() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            std::fs::read_to_string(path.join("Cargo.toml")).is_ok_and(|text| text.contains("cdylib"))
        })
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !name.starts_with("bench-"))
        .collect();
    names.sort();
    names
}

/// A Keystone that has one user and one account, and says everything again that it hears.
#[derive(Clone, Default)]
struct Echo {
    catalogue: Arc<Mutex<Value>>,
}

impl Echo {
    /// Its origin.
    async fn listen(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        origin
    }
}

async fn answer(
    State(echo): State<Echo>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let told = format!("{method} {uri} {headers:?} {}", String::from_utf8_lossy(&body));
    let is_account = told.contains("account's staple") || told.contains(TOKEN);
    let (user, token) = if is_account { ("archipel", TOKEN) } else { ("ada", USERS_TOKEN) };
    let domain = json!({"id": "default", "name": "Default"});
    let (status, mut document) = match (&method, uri.path()) {
        (&Method::POST | &Method::GET, "/v3/auth/tokens") => (
            if method == Method::POST { StatusCode::CREATED } else { StatusCode::OK },
            json!({"token": {
                "user": {"id": user, "name": user, "domain": domain},
                "project": {"id": "p1", "name": "recorded", "domain": domain},
                "methods": ["password"],
                "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2099-01-01T00:00:00.000000Z",
            }}),
        ),
        (&Method::GET, "/v3/users/ada/groups") => {
            (StatusCode::OK, json!({"groups": [{"name": "physics", "domain_id": "default"}]}))
        }
        (&Method::GET, "/v3/auth/catalog") => (StatusCode::OK, echo.catalogue.lock().unwrap().clone()),
        _ => (StatusCode::NOT_FOUND, json!({"error": {"message": "there is no such thing"}})),
    };
    document["echo"] = json!([told, token]);
    let mut response = (status, axum::Json(document)).into_response();
    let headers = response.headers_mut();
    headers.insert("x-subject-token", HeaderValue::from_static(token));
    headers.insert("x-echo", HeaderValue::from_static(token));
    headers.append("set-cookie", HeaderValue::from_static("session=gAAAAAB-a/cookie+of=this; Path=/"));
    response
}

/// The catalogue of the recorded cloud, as Keystone gives it.
fn catalogue(cloud: &Replayed) -> Value {
    let endpoints = cloud.attributes()["openstack"]["endpoints"].clone();
    let service = |kind: &str| {
        json!({"type": kind, "name": kind, "id": kind, "endpoints": [
            {"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": endpoints[kind]},
        ]})
    };
    let services: Vec<Value> = ["compute", "volumev3", "network", "image"].map(service).to_vec();
    json!({"catalog": services})
}

/// A site in which every shipped plugin has a place.
async fn site(cloud: &Replayed, keystone: &str) -> Site {
    let mut site = Site::temporary().unwrap();
    for name in shipped() {
        site.drop_plugin(&name, &built::plugin(&name).unwrap()).unwrap();
    }
    let issuer = format!("{keystone}/v3");
    let identity = json!({"name": "keystone", "plugin": "aaa-keystone", "issuers": [issuer], "config": {"auth_url": keystone}});
    site.config["identity"].as_array_mut().unwrap().push(identity);
    site.config["cloud"][0]["mapper_config"] =
        json!({"default": {"account": "shared", "secret": "emulated"}});
    let openstack = json!({
        "name": "openstack", "driver": "cloud-openstack", "mapper": "mapper-by-group",
        "mapper_config": {
            "keystone": {"auth_url": keystone, "region": "RegionOne", "user_domain": "Default"},
            "rules": [{"group": "physics", "account": "physics", "secret": "physics", "keystone": {"user": "archipel", "project": "recorded"}}],
        },
        "config": {"site": SITE_ID},
    });
    site.config["cloud"].as_array_mut().unwrap().push(openstack);
    site.config["secrets"] =
        json!({"physics": {"value": ACCOUNT_PASSWORD}, "emulated": {"value": EMULATED_SECRET}});
    let rule = |name: &str, origin: &str, method: &str, path: &str, placement: &str| json!({"name": name, "origin": origin, "methods": [method], "path": path, "placement": placement});
    let token = |name: &str, origin: &str, path: &str| rule(name, origin, "GET", path, "header:x-auth-token");
    let grants = &mut site.config["grants"];
    grants["mapper-all-to-one"] =
        json!({"pin": "capabilities", "secrets": [rule("emulated", keystone, "GET", "/nowhere", "bearer")]});
    grants["aaa-keystone"] = json!({"hosts": [keystone], "private": true, "pin": "capabilities", "secrets": [
        rule("login.*", keystone, "POST", "/v3/auth/tokens", "json"),
        token("session", keystone, "/v3/auth/tokens"),
        rule("session", keystone, "GET", "/v3/auth/tokens", "header:x-subject-token"),
        token("session", keystone, "/v3/users/*/groups"),
    ]});
    grants["mapper-by-group"] = json!({"hosts": [keystone], "private": true, "pin": "capabilities", "secrets": [
        rule("physics", keystone, "POST", "/v3/auth/tokens", "json"),
        token("captured.token", keystone, "/v3/auth/catalog"),
    ]});
    let origin = cloud.origin();
    let driver = |path: &str| json!({"name": "local-token", "origin": origin, "methods": ["GET", "POST", "DELETE"], "path": path, "placement": "header:x-auth-token"});
    grants["cloud-openstack"] = json!({"hosts": [origin], "private": true, "pin": "capabilities", "storage": "4 MiB", "secrets": [
        driver("/compute/v2.1/*"), driver("/volume/v3/*"), driver("/network/v2.0/*"), driver("/image/v2/*"),
    ]});
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_any_shipped_plugin_leaves_a_secret_in_a_memory() {
    let exchanges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cloud-openstack/tests/exchanges");
    let cloud = Replayed::serve(&exchanges.join("life.json"), SITE_ID, TOKEN).unwrap();
    let echo = Echo::default();
    *echo.catalogue.lock().unwrap() = catalogue(&cloud);
    let keystone = echo.listen().await;
    let site = site(&cloud, &keystone).await;
    let watch = MemoryWatch::new().unwrap();
    let daemon = site.start_with(&["--fail-points"], &[watch.variable()]).await.unwrap();

    // Ada of Keystone orders at the recorded OpenStack, alice of the site at the emulated cloud.
    let credentials = json!({"username": "ada", "password": USERS_PASSWORD});
    let login = json!({"binding": "keystone", "credentials": credentials});
    let login = daemon.anonymous().post("/v1/tokens", &login).await.unwrap().success().unwrap();
    let ada = daemon.anonymous().with_token(login["token"].as_str().unwrap().to_owned());
    let volume = json!({"name": "life-volume", "size_gib": 1, "cloud": "openstack", "group": "physics"});
    let volume = create(&ada, "volumes", &volume).await.unwrap();
    reaches(&ada, id(&volume), "fulfilled").await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut machine = small_compute("c");
    machine["cloud"] = "emulated".into();
    let machine = create(&alice, "computes", &machine).await.unwrap();
    reaches(&alice, id(&machine), "fulfilled").await.unwrap();

    let names = shipped();
    assert!(names.len() >= 7, "{names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (searches, bytes) = watch.is_clean(&names).unwrap();
    assert!(searches > names.len() && bytes > 1 << 20, "{searches} {bytes}");
    let secrets = watch.secrets();
    for (what, secret) in [
        ("the user's password", USERS_PASSWORD),
        ("the user's token", USERS_TOKEN),
        ("the account's password", ACCOUNT_PASSWORD),
        ("the account's token", TOKEN),
        ("the emulated cloud's secret", EMULATED_SECRET),
    ] {
        assert!(secrets.contains(&secret.as_bytes().to_vec()), "{what} was held by a plugin");
    }
    watch.assert_not_in("the log", daemon.log().as_bytes());
    let shown = daemon.admin().get(&format!("/v1/orders/{}/egress", id(&volume))).await.unwrap();
    watch.assert_not_in("the ledger", shown.bytes());
    assert!(!daemon.log().contains("gAAAAAB-a/cookie"), "a cookie is a secret too");
    daemon.stop().await.unwrap();
}

//! Secrets that lie sealed on the disk, and change while the site serves: the secret, and the key that it is sealed with.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use archipel_client::Client;
use archipel_tests::built;
use archipel_tests::cli::{self, Ran};
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use archipel_vault::keyring::{open_from, seal_into};
use archipel_vault::{KeySource, Keyring};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::json;

const OLD: &str = "the-old-secret-of-the-cloud";
const NEW: &str = "the-new-secret-of-the-cloud";

/// What a far side was shown in `x-secret`.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<String>>>);

impl Shown {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(note).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        origin
    }

    /// What was shown since this was asked last, each once.
    fn take(&self) -> Vec<String> {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap());
        all.dedup();
        all
    }
}

async fn note(State(shown): State<Shown>, headers: HeaderMap) {
    shown.0.lock().unwrap().push(headers["x-secret"].to_str().unwrap().to_owned());
}

/// A site whose mapper shows a sealed secret at each call.
async fn site(shown: &Shown) -> Site {
    let origin = shown.listen().await;
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("leaky-mapper", &built::plugin("leaky-mapper").unwrap()).unwrap();
    site.config["cloud"][0]["mapper"] = "leaky-mapper".into();
    site.config["cloud"][0]["mapper_config"] = json!({"url": format!("{origin}/")});
    site.config["secrets"] = json!({"leaked": {"sealed": "secrets/leaked.sealed"}});
    site.config["grants"]["leaky-mapper"] = json!({
        "hosts": [origin], "private": ["127.0.0.0/8"], "pin": "capabilities", "reveal": ["leaked"],
        "secrets": [{"name": "leaked", "origin": origin, "methods": ["GET"], "path": "/", "placement": "header:x-secret"}],
    });
    site.write().unwrap();
    site
}

/// `archipel secret seal`, with the secret on standard input.
fn seal(site: &Site, secret: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = cli::program().unwrap();
    command
        .arg("--config")
        .arg(site.file())
        .args(["secret", "seal", "leaked"])
        .envs(variables.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{secret}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn archipel(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = cli::program().unwrap();
    command.arg("--config").arg(site.file()).args(arguments);
    tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap()
}

/// Has the mapper called: it shows this secret.
async fn calls_show(alice: &Client, shown: &Shown, wanted: &str) {
    alice.get("/v1/clouds/emulated/specs").await.unwrap().success().unwrap();
    assert_eq!(shown.take(), [wanted]);
}

async fn serving(site: &Site) -> (Daemon, Client) {
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    (daemon, alice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_and_its_sealing_key_change_while_the_site_serves() {
    let shown = Shown::default();
    let site = site(&shown).await;
    let sealed = site.folder().join("secrets/leaked.sealed");
    let key = site.data_dir().join("keys/seal.key");
    seal(&site, OLD, &[]).with_code(0);
    let text = std::fs::read_to_string(&sealed).unwrap();
    assert!(!text.contains(OLD) && text.starts_with("archipel-sealed-1 "), "{text}");
    for file in [&sealed, &key] {
        assert_eq!(
            std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    let (daemon, alice) = serving(&site).await;
    calls_show(&alice, &shown, OLD).await;

    // The key, before the daemon has read anything anew, and after.
    let before = archipel(&site, &["secret", "list", "--output", "json"]).await.with_code(0).json();
    let rotated = archipel(&site, &["secret", "rotate-key", "--output", "json"]).await.with_code(0).json();
    assert_ne!(before["key"], rotated["key"]);
    assert_eq!(rotated["secrets"], json!(["leaked"]));
    let old_key = before["items"][0]["key"].as_str().unwrap();
    assert!(!std::fs::read_to_string(&sealed).unwrap().contains(old_key), "sealed anew");
    assert_eq!(std::fs::read_to_string(&key).unwrap().lines().count(), 1, "the old key is forgotten");
    archipel(&site, &["plugin", "reload"]).await.with_code(0);
    alice.get("/v1/clouds/emulated/specs").await.unwrap().success().unwrap();

    // The secret: every call is answered, with the new one at once, although a token made of the old one is at hand.
    seal(&site, NEW, &[]).with_code(0);
    archipel(&site, &["plugin", "reload"]).await.with_code(0);
    calls_show(&alice, &shown, NEW).await;

    // What was sealed with the old key is refused, and the site serves on with what it has.
    std::fs::write(&sealed, &text).unwrap();
    let refused = archipel(&site, &["plugin", "reload"]).await;
    assert!(refused.code != 0 && refused.err.contains(old_key), "{refused:?}");
    let listed = archipel(&site, &["secret", "list"]).await.with_code(1);
    assert!(listed.out.contains("sealed with key"), "{listed:?}");
    alice.get("/v1/clouds/emulated/specs").await.unwrap().success().unwrap();
    assert_eq!(shown.take(), [""; 0], "its token is still at hand");
    for secret in [OLD, NEW] {
        assert!(!daemon.log().contains(secret));
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_systemd_hands_over_opens_what_no_file_of_the_site_can() {
    let shown = Shown::default();
    let mut site = site(&shown).await;
    site.config["vault"] = json!({"key_credential": "archipel-seal"});
    site.write().unwrap();
    let credentials = tempfile::tempdir().unwrap();
    let file = credentials.path().join("archipel-seal");
    let line = |byte: &str| format!("{}\n", byte.repeat(32));
    let write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    };
    write(&line("ab"));
    let folder = [("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap())];
    seal(&site, OLD, &folder).with_code(0);
    assert!(!site.data_dir().join("keys/seal.key").exists(), "no key of its own is made");
    let daemon = site.start_with(&[], &folder).await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    calls_show(&alice, &shown, OLD).await;
    daemon.stop().await.unwrap();

    let error = site.start().await.err().expect("no key").to_string();
    assert!(error.contains("archipel-seal") && error.contains("LoadCredential"), "{error}");
    // Rotated by hand: a new line in front, everything sealed anew, the old line taken out.
    write(&format!("{}{}", line("cd"), line("ab")));
    let mut command = cli::program().unwrap();
    command.arg("--config").arg(site.file()).args(["secret", "rotate-key"]).envs(folder);
    cli::run(&mut command).unwrap().with_code(0);
    write(&line("cd"));
    let daemon = site.start_with(&[], &folder).await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    calls_show(&alice, &shown, OLD).await;
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_sealing_key_that_broke_off_is_ended_by_the_next_and_nothing_is_lost() {
    let mut site = site(&Shown::default()).await;
    site.config["secrets"]["other"] = json!({"sealed": "secrets/other.sealed"});
    site.write().unwrap();
    let file = site.data_dir().join("keys/seal.key");
    let source = KeySource::File(file.clone());
    let sealed = |name: &str| site.folder().join(format!("secrets/{name}.sealed"));
    let opened = |keys: &Keyring, name: &str| open_from(keys, name, &sealed(name)).unwrap().reveal().to_vec();
    for secrets_done in 0..=2 {
        let _ = std::fs::remove_file(&file);
        let old = Keyring::load_or_create(&source).unwrap();
        for name in ["leaked", "other"] {
            seal_into(&old, name, name.as_bytes(), &sealed(name)).unwrap();
        }
        // As the command does it, up to where it is killed.
        let both = Keyring::rotate(&file).unwrap();
        for name in ["leaked", "other"].into_iter().take(secrets_done) {
            seal_into(&both, name, name.as_bytes(), &sealed(name)).unwrap();
        }
        for name in ["leaked", "other"] {
            assert_eq!(opened(&both, name), name.as_bytes(), "a daemon that reads in between");
        }
        archipel(&site, &["secret", "rotate-key"]).await.with_code(0);
        let new = Keyring::load(&source).unwrap();
        assert_eq!((new.id(), new.has_older()), (both.id(), false));
        for name in ["leaked", "other"] {
            assert_eq!(opened(&new, name), name.as_bytes());
        }
    }
}

/// Whether a token is good.
async fn is_let_in(daemon: &Daemon, token: &str) -> bool {
    let client = daemon.anonymous().with_token(token);
    let status = client.get("/v1/clouds/emulated/quota").await.unwrap().status();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_key_changes_and_nobody_is_logged_out_until_the_older_one_is_forgotten() {
    let site = Site::temporary().unwrap();
    let alice = site.users.iter().find(|user| user.name == "alice").unwrap();
    let file = site.data_dir().join("keys/site.key");
    let keys = || std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let daemon = site.start().await.unwrap();
    let first = daemon.token(alice.name, &alice.password).await.unwrap();
    let before = keys();
    archipel(&site, &["secret", "rotate-site-key"]).await.with_code(0);
    assert_eq!((keys().len(), &keys()[1]), (2, &before[0]));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(is_let_in(&daemon, &first).await, "the daemon serves on with what it has");
    let late = daemon.token(alice.name, &alice.password).await.unwrap();
    daemon.kill().unwrap();

    let daemon = site.start().await.unwrap();
    assert!(is_let_in(&daemon, &first).await && is_let_in(&daemon, &late).await);
    let second = daemon.token(alice.name, &alice.password).await.unwrap();
    assert!(is_let_in(&daemon, &second).await);
    archipel(&site, &["secret", "rotate-site-key", "--forget"]).await.with_code(0);
    assert!(keys().len() == 1 && keys() != before);
    assert!(is_let_in(&daemon, &first).await, "until the next start");
    daemon.stop().await.unwrap();

    let daemon = site.start().await.unwrap();
    assert!(!is_let_in(&daemon, &first).await && !is_let_in(&daemon, &late).await);
    assert!(is_let_in(&daemon, &second).await);
    daemon.stop().await.unwrap();
}

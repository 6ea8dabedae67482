//! The hostile corpus (tests/hostile): every component attacks in a running site, while a neighbour works on.

mod attacks;
mod files;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::far_side::FarSide;
use archipel_tests::neighbour::Neighbour;
use archipel_tests::site::Site;
use archipel_tests::{built, component};
use serde_json::{Value, json};

/// What the neighbour asks for: identity, policy, mapper and driver take part.
const NEIGHBOURS_REQUEST: &str = "/v1/clouds/emulated/quota";

/// Stretches before and after an attack.
const CALM: Duration = Duration::from_millis(600);

/// The shortest stretch that is called the attack: what comes back at once is tried again until then.
const ATTACK: Duration = Duration::from_millis(600);

/// Requests that one binding may have open: the default of the host's egress.
const MOST_OPEN: usize = 64;

/// What becomes of an attack.
enum Fate {
    /// The caller gets this problem.
    Refused(Problem),
    /// The first call of an instance is answered, because it is harmless; what uses what it left gets this problem.
    RefusedLater(Problem),
    /// The file is refused with these words, before it serves.
    Rejected(&'static str),
    /// The caller gets an answer, because what was done harms nobody.
    Harmless,
}

/// What a caller is told.
struct Problem {
    status: u16,
    /// Its `type`, after `urn:archipel:problem:`.
    about: &'static str,
    /// Of a plugin's typed error: its kind.
    kind: Option<&'static str>,
    /// Its finer word, where it has one.
    reason: Option<&'static str>,
    /// Words of its text.
    words: &'static str,
}

impl Problem {
    /// Holds an answer against it; gives the answer's text.
    fn is(&self, name: &str, (status, problem): &(u16, Value)) -> String {
        let told = problem["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(*status, self.status, "{name}: {problem}");
        assert_eq!(problem["type"], format!("urn:archipel:problem:{}", self.about), "{name}: {problem}");
        assert_eq!(problem["kind"].as_str(), self.kind, "{name}: {problem}");
        assert_eq!(problem["reason"].as_str(), self.reason, "{name}: {problem}");
        assert!(told.contains(self.words), "{name}: {told}");
        assert!(!told.contains('\u{1b}') && told.len() < 8 << 10, "{name}: {told}");
        told
    }
}

/// One component of the corpus.
struct Attack {
    name: &'static str,
    fate: Fate,
    /// Words of the line of the log that names the culprit.
    logged: &'static str,
}

/// The bytes of a component: compiled from Rust, or text.
fn bytes(name: &str) -> Vec<u8> {
    let text = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join(format!("hostile/wat/{name}.wat"));
    match std::fs::read_to_string(text) {
        Ok(text) => component::of_text("quota-plugin", &text, &["archipel:cloud/quota@0.1.0"]),
        Err(_) => built::plugin(&format!("hostile/{name}")).unwrap(),
    }
}

/// Whether its configuration says whom it may ask: those that are text take none.
fn is_text(name: &str) -> bool {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join(format!("hostile/wat/{name}.wat"))
        .exists()
}

/// A site with a cloud for each attack.
fn site_for(attacks: &[Attack], far_side: &FarSide) -> Site {
    let mut site = Site::temporary().unwrap();
    site.config["limits"] = json!({
        "plugins": {"driver_deadline_ms": 2000, "lifecycle_deadline_ms": 1500, "strikes": 1_000_000},
        "egress": {"response_mib": 8},
    });
    site.config["secrets"] = json!({"bait": {"value": "the-bait-of-this-test"}});
    for attack in attacks {
        let mut cloud = site.config["cloud"][0].clone();
        cloud["name"] = attack.name.into();
        cloud["driver"] = attack.name.into();
        cloud["config"] = json!({});
        if !is_text(attack.name) {
            let host = if attack.name == "trusts-a-name" { "localhost" } else { "127.0.0.1" };
            let forbidden = far_side.forbidden(host);
            cloud["config"] = json!({"granted": far_side.granted(), "forbidden": forbidden});
            let mut hosts = vec![far_side.granted()];
            let mut private = json!(true);
            if attack.name == "trusts-a-name" {
                hosts.push(forbidden);
                private = json!(false);
            }
            site.config["grants"][attack.name] = json!({
                "hosts": hosts, "private": private, "storage": "64 KiB", "pin": "capabilities",
                "secrets": [{"name": "bait", "origin": far_side.granted(), "methods": ["GET"], "path": "/bound", "placement": "bearer"}],
            });
        }
        site.config["cloud"].as_array_mut().unwrap().push(cloud);
    }
    site
}

/// The line of the log, after `from` bytes, that has all of the words.
fn line_with(log: &str, from: usize, words: &[&str]) -> Option<String> {
    log.get(from..)?.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
}

/// The same, waiting for it: what is told after an answer is told soon.
async fn logged(daemon: &Daemon, from: usize, words: &[&str]) -> String {
    for _ in 0..200 {
        if let Some(line) = line_with(&daemon.log(), from, words) {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let log = daemon.log();
    panic!("no line of the log has {words:?}:\n{}", log.get(from..).unwrap_or_default());
}

/// What the caller of an attack is told: status and text.
async fn attacked(client: &Client, name: &str) -> (u16, Value) {
    let answer = client.get(&format!("/v1/clouds/{name}/quota")).await.unwrap();
    (answer.status(), answer.json().unwrap_or_default())
}

/// Lets one component attack, between two calm stretches, and holds against it what it must come to.
async fn attack(site: &Site, daemon: &Daemon, alice: &Client, neighbour: &Neighbour, attack: &Attack) {
    let name = attack.name;
    let from = daemon.log().len();
    let calm = Instant::now();
    tokio::time::sleep(CALM).await;
    let began = Instant::now();
    site.drop_plugin(name, &bytes(name)).unwrap();
    let mut told = String::new();
    match attack.fate {
        Fate::Rejected(words) => {
            // Before it is dropped, that there is no such file is what keeps it from serving.
            let is_judged = |status: &Value| status["state"] == "rejected" && !status["digest"].is_null();
            let status = daemon.plugin_when(name, is_judged).await.unwrap();
            told = status["last_error"].as_str().unwrap_or_default().to_owned();
            assert!(told.contains(words), "{name}: {status}");
        }
        Fate::Refused(ref problem) => {
            daemon.plugin_state(name, "live", None).await.unwrap();
            while told.is_empty() || began.elapsed() < ATTACK {
                told = problem.is(name, &attacked(alice, name).await);
            }
        }
        Fate::RefusedLater(ref problem) => {
            daemon.plugin_state(name, "live", None).await.unwrap();
            let mut last = attacked(alice, name).await;
            assert_eq!(last.0, 200, "{name}: {}", last.1);
            while told.is_empty() || began.elapsed() < ATTACK {
                let is_second = last.0 == 200;
                last = attacked(alice, name).await;
                // After a trap an instance is new, and its first call is the harmless one again.
                if is_second || last.0 != 200 {
                    told = problem.is(name, &last);
                }
            }
        }
        Fate::Harmless => {
            daemon.plugin_state(name, "live", None).await.unwrap();
            while told.is_empty() || began.elapsed() < ATTACK {
                let (status, answer) = attacked(alice, name).await;
                assert_eq!(status, 200, "{name}: {answer}");
                told = "200".to_owned();
            }
        }
    }
    let ended = Instant::now();
    let line = logged(daemon, from, &[name, attack.logged]).await;
    tokio::time::sleep(CALM).await;
    std::fs::remove_file(site.plugin_dir().join(format!("{name}.wasm"))).unwrap();
    let after = Instant::now();
    let (before, during, after) = (
        neighbour.within(calm, began).await,
        neighbour.within(began, ended).await,
        neighbour.within(ended, after).await,
    );
    let shown = |text: &str| text.chars().take(700).collect::<String>();
    println!("{name:<28} before {before}   during {during}   after {after}");
    println!("    told: {}\n    log:  {}", shown(&told), shown(&line));
    assert_eq!(neighbour.lost().await, Vec::<String>::new(), "{name}: the neighbour lost requests");
    let grown = daemon.log().len() - from;
    assert!(grown < 1 << 20, "{name}: {grown} bytes of log");
}

/// Runs a part of the corpus in a site of its own.
async fn run(attacks: &[Attack]) {
    let far_side = FarSide::serve().await.unwrap();
    let site = site_for(attacks, &far_side);
    let daemon = site.start().await.unwrap();
    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let neighbour = Neighbour::beside(&daemon, bob, NEIGHBOURS_REQUEST).await.unwrap();
    println!("neighbour: median / slowest of so many requests");
    for one in attacks {
        attack(&site, &daemon, &alice, &neighbour, one).await;
    }
    // What one call closed, and what the next one opened: the other side sees them together for a moment.
    let most = far_side.most_open();
    assert!(most <= 2 * MOST_OPEN, "{most} connections were open at a time");
    assert_eq!(far_side.visitors(), 0, "somebody came through the door that is not granted");
    let served = neighbour.end().await.unwrap();
    assert!(served > attacks.len() * 10, "the neighbour was served {served} times only");
    daemon.admin().get("/v1/orders").await.unwrap().success().unwrap();
}

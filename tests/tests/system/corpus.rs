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

/// What becomes of an attack.
enum Fate {
    /// The caller gets a problem whose text has these words.
    Refused(&'static str),
    /// The file is refused with these words, before it serves.
    Rejected(&'static str),
    /// The caller gets an answer, because what was done harms nobody.
    Harmless,
}

/// One component of the corpus.
struct Attack {
    name: &'static str,
    fate: Fate,
    /// Words of the one line of the log that names the culprit; none where the answer itself is all there is to tell.
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
    site.config["limits"] =
        json!({"plugins": {"driver_deadline_ms": 2000, "lifecycle_deadline_ms": 1500, "strikes": 1_000_000}});
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
        Fate::Refused(words) => {
            daemon.plugin_state(name, "live", None).await.unwrap();
            // Some attack with what an earlier call left.
            while told.is_empty() || began.elapsed() < ATTACK {
                let (status, problem) = attacked(alice, name).await;
                told = format!("{status} {problem}");
            }
            assert!(told.contains(words), "{name}: {told}");
            assert!(!told.contains('\u{1b}') && told.len() < 8 << 10, "{name}: {told}");
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
    let line = if attack.logged.is_empty() {
        String::new()
    } else {
        logged(daemon, from, &[name, attack.logged]).await
    };
    tokio::time::sleep(CALM).await;
    std::fs::remove_file(site.plugin_dir().join(format!("{name}.wasm"))).unwrap();
    let after = Instant::now();
    let (before, during, after) = (
        neighbour.within(calm, began).await,
        neighbour.within(began, ended).await,
        neighbour.within(ended, after).await,
    );
    let shown: String = told.chars().take(100).collect();
    println!("{name:<28} before {before}   during {during}   after {after}\n    {shown}");
    if !line.is_empty() {
        println!("    log: {}", line.chars().take(180).collect::<String>());
    }
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
    let neighbour = Neighbour::at(bob, NEIGHBOURS_REQUEST);
    println!("neighbour: median / slowest of so many requests");
    for one in attacks {
        attack(&site, &daemon, &alice, &neighbour, one).await;
    }
    assert_eq!(far_side.visitors(), 0, "somebody came through the door that is not granted");
    let served = neighbour.end().await.unwrap();
    assert!(served > attacks.len() * 10, "the neighbour was served {served} times only");
    daemon.admin().get("/v1/orders").await.unwrap().success().unwrap();
}

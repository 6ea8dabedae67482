//! Attacks by files rather than by code: what is dropped into the folder while the site serves.

use std::io::Write;
use std::time::{Duration, Instant};

use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::neighbour::Neighbour;
use archipel_tests::site::Site;
use archipel_tests::{built, component};
use serde_json::json;

use super::{ATTACK, NEIGHBOURS_REQUEST};

async fn begun(site: &Site) -> (Daemon, Client, Neighbour) {
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let bob = daemon.login("bob").await.unwrap();
    let neighbour = Neighbour::beside(&daemon, bob, NEIGHBOURS_REQUEST).await.unwrap();
    (daemon, alice, neighbour)
}

async fn ended(what: &str, neighbour: Neighbour, began: Instant) {
    tokio::time::sleep_until((began + ATTACK).into()).await;
    let latency = neighbour.within(began, Instant::now()).await;
    println!("{what:<28} {latency}");
    assert_eq!(neighbour.lost().await, Vec::<String>::new(), "{what}: the neighbour lost requests");
    neighbour.end().await.unwrap();
}

/// A quota plugin whose types double forty times: its text is short, its type has 2^40 parts.
fn doubling_types() -> Vec<u8> {
    let mut text = String::from("(component (type $t0 (list u8))");
    for level in 1..=40 {
        text += &format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    text += "(type $f (func (param \"x\" $t40))) (import \"archipel:host/types@0.1.0\" (instance (export \"f\" (func (type $f)))))";
    described(&(text + "(instance $i) (export \"archipel:cloud/quota@0.1.0\" (instance $i)))"))
}

/// Lists of lists, 5,000 deep.
fn deep_types() -> Vec<u8> {
    let mut text = String::from("(component (type $t0 (list u8))");
    for level in 1..=5_000 {
        text += &format!("(type $t{level} (list $t{}))", level - 1);
    }
    described(&(text + "(instance $i) (export \"archipel:cloud/quota@0.1.0\" (instance $i)))"))
}

/// A component in a component, 100,000 deep.
fn nest() -> Vec<u8> {
    let header = component::empty();
    // From the inside: the innermost is a header; each around it is a header and a section (its id, its length in five bytes).
    let mut lengths = vec![header.len()];
    for _ in 0..100_000 {
        lengths.push(lengths[lengths.len() - 1] + header.len() + 6);
    }
    let mut bytes = Vec::new();
    for inner in lengths.iter().rev().skip(1) {
        bytes.extend(&header);
        bytes.push(4);
        let groups = (0..5).map(|at| (inner >> (7 * at)) as u8 & 0x7f | if at < 4 { 0x80 } else { 0 });
        bytes.extend(groups);
    }
    bytes.extend(&header);
    bytes
}

fn described(text: &str) -> Vec<u8> {
    let manifest = json!({
        "name": "t", "version": "1.0.0", "sdk": "none", "wit": "0.1.0", "interfaces": ["archipel:cloud/quota@0.1.0"],
    });
    component::with_section(
        &wat::parse_str(text).unwrap(),
        "archipel:manifest",
        manifest.to_string().as_bytes(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_nests_deep_types_and_doubling_types_are_refused_before_they_cost() {
    let site = Site::temporary().unwrap();
    let (daemon, _, neighbour) = begun(&site).await;
    for (name, bytes, words) in [
        ("nest", nest(), "levels of nesting"),
        ("deep-types", deep_types(), "type nesting is too deep"),
        ("doubling-types", doubling_types(), "effective type size exceeds the limit"),
    ] {
        let began = Instant::now();
        site.drop_plugin(name, &bytes).unwrap();
        let status = daemon
            .plugin_when(name, |status| !status["last_error"].is_null() || status["state"] == "checked")
            .await
            .unwrap();
        let told = status["last_error"].as_str().unwrap_or_default().to_owned();
        println!(
            "{name:<28} {} ms: {}",
            began.elapsed().as_millis(),
            told.chars().take(100).collect::<String>()
        );
        assert_eq!(status["state"], "rejected", "{status}");
        assert!(told.contains(words), "{name}: {told}");
        assert!(
            super::line_with(&daemon.log(), 0, &[name, "refused"]).is_some(),
            "{name} is not named in the log"
        );
    }
    ended("files that cost", neighbour, Instant::now() - Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_a_name_gives_no_rights() {
    let mut site = Site::temporary().unwrap();
    // The same bytes under another name: what is granted is granted to a name.
    let mut other = site.config["identity"][0].clone();
    other["name"] = "other".into();
    other["plugin"] = "aaa-local-two".into();
    other["issuers"] = json!(["https://other.example.org"]);
    site.config["identity"].as_array_mut().unwrap().push(other);
    let (daemon, _, neighbour) = begun(&site).await;
    let began = Instant::now();
    site.drop_plugin("aaa-local-two", &built::plugin("aaa-local").unwrap()).unwrap();
    let is_refused = |status: &serde_json::Value| {
        status["last_error"].as_str().is_some_and(|told| told.contains("asks for more than is granted"))
    };
    let status = daemon.plugin_when("aaa-local-two", is_refused).await.unwrap();
    assert_eq!(status["state"], "rejected", "{status}");
    // Another plugin's bytes under the name of one that serves: it does not do what the site needs of that name, and the old
    // version goes on.
    let before = daemon.plugin_state("aaa-local", "live", None).await.unwrap();
    site.drop_plugin("aaa-local", &built::plugin("mapper-all-to-one").unwrap()).unwrap();
    let after = daemon.plugin_when("aaa-local", |status| !status["last_error"].is_null()).await.unwrap();
    assert_eq!((&after["digest"], &after["state"]), (&before["digest"], &before["state"]), "{after}");
    daemon.login("alice").await.unwrap();
    ended("names that collide", neighbour, began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_a_storm_of_swaps_loses_no_call() {
    let mut site = Site::temporary().unwrap();
    let mut cloud = site.config["cloud"][0].clone();
    cloud["name"] = "stormy".into();
    cloud["mapper"] = "stormy-mapper".into();
    site.config["cloud"].as_array_mut().unwrap().push(cloud);
    let version = |number: u32| {
        component::with_section(&built::plugin("mapper-all-to-one").unwrap(), "storm", &number.to_le_bytes())
    };
    site.drop_plugin("stormy-mapper", &version(0)).unwrap();
    let (daemon, alice, neighbour) = begun(&site).await;
    let first = daemon.plugin_state("stormy-mapper", "live", None).await.unwrap();
    let calls = Neighbour::at(alice, "/v1/clouds/stormy/quota");
    let began = Instant::now();
    for number in 1..=40 {
        site.drop_plugin("stormy-mapper", &version(number)).unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    // It ends on the last version, whatever it passed over.
    let last = archipel_digest(&version(40));
    let status =
        daemon.plugin_when("stormy-mapper", |status| status["digest"] == last.as_str()).await.unwrap();
    assert_ne!(status["digest"], first["digest"]);
    ended("calls on what is swapped", calls, began).await;
    ended("a storm of swaps", neighbour, began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_a_file_that_is_half_written_is_not_taken() {
    let site = Site::temporary().unwrap();
    let (daemon, _, neighbour) = begun(&site).await;
    let began = Instant::now();
    let whole = built::plugin("mapper-by-group").unwrap();
    let path = site.plugin_dir().join("slowly.wasm");
    let mut file = std::fs::File::create(&path).unwrap();
    for piece in whole.chunks(whole.len() / 20 + 1) {
        file.write_all(piece).unwrap();
        file.sync_all().unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        let seen = daemon.admin().get("/v1/admin/plugins/slowly").await.unwrap().json().unwrap_or_default();
        assert_ne!(seen["state"], "rejected", "it was taken before it was finished: {seen}");
    }
    let status = daemon.plugin_seen("slowly").await.unwrap();
    assert_eq!(status["digest"], archipel_digest(&whole).as_str(), "{status}");
    // One that stays half is told so, and harms nobody.
    site.drop_plugin("half", &whole[..whole.len() / 2]).unwrap();
    let status = daemon.plugin_state("half", "rejected", None).await.unwrap();
    assert!(status["last_error"].as_str().unwrap().contains("the file ends early"), "{status}");
    ended("half-written files", neighbour, began).await;
}

fn archipel_digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

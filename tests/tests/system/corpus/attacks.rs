//! What each component of the corpus comes to.

use serde_json::json;

use super::Fate::{Harmless, Refused, Rejected};
use super::{Attack, NEIGHBOURS_REQUEST, bytes, logged, run};
use archipel_tests::neighbour::Neighbour;
use archipel_tests::site::Site;

const fn attack(name: &'static str, fate: super::Fate, logged: &'static str) -> Attack {
    Attack { name, fate, logged }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_time_and_memory() {
    run(&[
        attack("loops-at-start", Rejected("failed its trial: deadline"), "failed its trial"),
        attack("loops-in-a-call", Refused("did not finish quota.get-user-quota"), "outcome=\"deadline\""),
        attack("loops-in-host-calls", Refused("did not finish quota.get-user-quota"), "outcome=\"deadline\""),
        attack("sleeps-for-an-hour", Refused("did not finish quota.get-user-quota"), "outcome=\"deadline\""),
        attack("waits-for-a-slow-server", Refused(""), ""),
        attack("takes-all-memory", Refused("ran out of memory"), "outcome=\"memory\""),
        attack("grows-its-tables", Refused("ran out of memory"), "outcome=\"memory\""),
        attack("hoards-handles", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("hands-over-megabytes", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("draws-a-gigabyte", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("swallows-an-endless-answer", Refused(""), ""),
        attack("overflows-the-stack", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("ends-the-process", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_logs_disks_and_readers() {
    run(&[
        attack("floods-the-log", Harmless, "lines"),
        attack("floods-standard-output", Harmless, ""),
        attack("floods-the-storage", Refused("may keep"), ""),
        attack("answers-megabytes", Refused("the plugin's answer cannot be used"), "cannot be used"),
        attack("answers-a-crowd", Refused("the plugin's answer cannot be used"), "cannot be used"),
        attack("answers-control-characters", Refused("the plugin's answer cannot be used"), "cannot be used"),
        attack("answers-no-text", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("answers-outside-its-memory", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("tells-a-novel", Refused("dark and stormy"), ""),
        attack("forges-a-log-line", Harmless, "FORGED"),
        attack("looks-for-files", Refused("no file, no variable"), ""),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_the_network_and_secrets() {
    run(&[
        attack("spells-an-address", Refused("none of 14 spellings came through"), "a request was refused"),
        attack("trusts-a-name", Refused(""), "which the grant does not allow"),
        attack("follows-a-redirect", Refused(""), "a request was refused"),
        attack("hides-a-host-in-a-path", Refused("went nowhere else"), ""),
        attack("sets-forbidden-headers", Refused("none arrived"), ""),
        attack("asks-a-thousand-times", Refused(""), ""),
        attack("keeps-a-borrowed-token", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("uses-an-old-handle", Refused("failed in quota.get-user-quota"), "outcome=\"trap\""),
        attack("keeps-a-secrets-handle", Refused(""), ""),
        attack("sends-a-secret-elsewhere", Refused("where it is bound alone"), "a request was refused"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_who_somebody_is() {
    let name = "speaks-for-another-issuer";
    let mut site = Site::temporary().unwrap();
    let identity = json!({"name": "forger", "plugin": name, "issuers": ["https://forger.example.org"]});
    site.config["identity"].as_array_mut().unwrap().push(identity);
    site.drop_plugin(name, &bytes(name)).unwrap();
    let daemon = site.start().await.unwrap();
    let bob = daemon.login("bob").await.unwrap();
    let neighbour = Neighbour::at(bob, NEIGHBOURS_REQUEST);
    let from = daemon.log().len();
    for _ in 0..20 {
        let body = json!({"binding": "forger", "credentials": {"username": "admin"}});
        let answer = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
        assert!(answer.success().is_err(), "{:?}", answer.json());
    }
    let line = logged(&daemon, from, &["forger", "issuer"]).await;
    println!("{name}\n    log: {line}");
    assert_eq!(neighbour.lost().await, Vec::<String>::new());
    neighbour.end().await.unwrap();
}

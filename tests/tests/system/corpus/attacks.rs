//! What each component of the corpus comes to.

use serde_json::json;

use super::Fate::{self, Harmless, Refused, RefusedLater, Rejected};
use super::{Attack, NEIGHBOURS_REQUEST, Problem, bytes, logged, run};
use archipel_tests::neighbour::Neighbour;
use archipel_tests::site::Site;

/// The call broke off: it may be tried again.
const fn broken(reason: &'static str, words: &'static str) -> Problem {
    Problem { status: 503, about: "unavailable", kind: None, reason: Some(reason), words }
}

/// The component was stopped by a typed error, and passes it on.
const fn stopped(kind: &'static str, words: &'static str) -> Problem {
    Problem { status: 422, about: "cloud-refused", kind: Some(kind), reason: None, words }
}

/// What it answered is not passed on.
const fn unusable(words: &'static str) -> Fate {
    Refused(stopped("permanent", words))
}

const TRAP: Problem = broken("plugin-trap", "failed in quota.get-user-quota; its log says why");
const LATE: Problem = broken("plugin-deadline", "did not finish quota.get-user-quota within 2000 ms");
const MEMORY: Problem =
    broken("plugin-memory", "ran out of memory in quota.get-user-quota; its log says where");

const WAITED: &str = "outcome=\"deadline\" detail=\"it was waiting when its time was up\"";
const COMPUTED: &str = "outcome=\"deadline\" detail=\"it was computing when its time was up\"";

const fn attack(name: &'static str, fate: Fate, logged: &'static str) -> Attack {
    Attack { name, fate, logged }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_time_and_memory() {
    run(&[
        attack(
            "loops-at-start",
            Rejected("it failed its trial: deadline: it was computing when its time was up"),
            "failed its trial: deadline",
        ),
        attack("loops-in-a-call", Refused(LATE), COMPUTED),
        attack("loops-in-host-calls", Refused(LATE), COMPUTED),
        attack("sleeps-for-an-hour", Refused(LATE), WAITED),
        attack("waits-for-a-slow-server", Refused(LATE), WAITED),
        attack(
            "takes-all-memory",
            Refused(MEMORY),
            "outcome=\"memory\" detail=\"wasm trap: wasm `unreachable`",
        ),
        attack("grows-its-tables", Refused(MEMORY), "outcome=\"memory\""),
        attack("hoards-handles", Refused(TRAP), "outcome=\"trap\" detail=\"resource table has no free keys"),
        attack(
            "hands-over-megabytes",
            Refused(TRAP),
            "detail=\"too much data is being copied between the host and the guest",
        ),
        attack(
            "draws-a-gigabyte",
            Refused(TRAP),
            "detail=\"1073741824 random bytes at once are more than 65536; draw them in portions",
        ),
        attack(
            "swallows-an-endless-answer",
            Refused(Problem {
                reason: None,
                ..broken("", "the answer broke off: HTTP response body size exceeds limit: 8388608 bytes")
            }),
            "was broken off: the answer is larger than 8388608 bytes",
        ),
        attack("overflows-the-stack", Refused(TRAP), "detail=\"wasm trap: call stack exhausted"),
        attack("ends-the-process", Refused(TRAP), "detail=\"Exited with i32 exit status 0"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_logs_disks_and_readers() {
    run(&[
        attack("floods-the-log", Harmless, "log lines over the limit of a call were dropped"),
        attack("floods-standard-output", Harmless, "bytes of standard output and error"),
        attack(
            "floods-the-storage",
            Refused(stopped(
                "quota-exceeded",
                "the plugin keeps 61520 bytes and may keep 65536; remove some, or grant it more storage",
            )),
            "storage.set key-15 was refused: the plugin keeps",
        ),
        attack(
            "answers-megabytes",
            unusable("the plugin's answer cannot be used: a quota's name is longer than 1024 bytes"),
            "a plugin's answer was refused",
        ),
        attack(
            "answers-a-crowd",
            unusable("the plugin's answer cannot be used: quota has 100000 items, more than 10000"),
            "a plugin's answer was refused",
        ),
        attack(
            "answers-control-characters",
            unusable("the plugin's answer cannot be used: a quota's name holds control characters"),
            "a plugin's answer was refused",
        ),
        attack("answers-no-text", Refused(TRAP), "detail=\"invalid utf-8 sequence of 1 bytes from index 0\""),
        attack(
            "answers-outside-its-memory",
            Refused(TRAP),
            "detail=\"list pointer/length out of bounds of memory\"",
        ),
        attack(
            "tells-a-novel",
            Refused(stopped("permanent", "dark and stormy")),
            "a plugin's error was cut: it has more than 2 KiB of text",
        ),
        attack("forges-a-log-line", Harmless, "FORGED"),
        attack(
            "looks-for-files",
            Refused(stopped("forbidden", "no file, no variable and no argument was found")),
            "it looked for files: there are none for plugins",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_against_the_network_and_secrets() {
    run(&[
        attack(
            "spells-an-address",
            Refused(stopped("forbidden", "none of 14 spellings came through")),
            "a request was refused: http://127.0.0.1:",
        ),
        attack(
            "trusts-a-name",
            Refused(stopped("forbidden", "the address is private or special, and not granted")),
            "a request was refused: localhost leads to 127.0.0.1, a loopback address",
        ),
        attack(
            "follows-a-redirect",
            Refused(stopped("forbidden", "/secrets: no grant of this plugin covers this request")),
            "a request was refused: http://127.0.0.1:",
        ),
        attack(
            "hides-a-host-in-a-path",
            Refused(stopped(
                "forbidden",
                "unwritten, 200, unwritten, unwritten, unwritten, refused, unwritten, unwritten, unwritten",
            )),
            "a request was refused",
        ),
        attack(
            "sets-forbidden-headers",
            Refused(stopped("forbidden", "10 of 10 were refused, and none arrived")),
            "header \"authorization\" was refused",
        ),
        attack(
            "asks-a-thousand-times",
            Refused(TRAP),
            "detail=\"cannot lend resource: store handle limit exceeded",
        ),
        attack("keeps-a-borrowed-token", Refused(TRAP), "outcome=\"trap\" detail=\""),
        attack("uses-an-old-handle", RefusedLater(TRAP), "outcome=\"trap\" detail=\""),
        attack(
            "keeps-a-secrets-handle",
            RefusedLater(stopped(
                "forbidden",
                "handles end with the call that received them; a fresh one is good: 200",
            )),
            "credentials.attach was refused: this handle belonged",
        ),
        attack(
            "sends-a-secret-elsewhere",
            Refused(stopped("forbidden", "it went where it is bound alone, and its echo was masked")),
            "a request was refused: no rule of its grant lets secret \"bait\" go",
        ),
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
    let neighbour = Neighbour::beside(&daemon, bob, NEIGHBOURS_REQUEST).await.unwrap();
    let from = daemon.log().len();
    for _ in 0..20 {
        let body = json!({"binding": "forger", "credentials": {"username": "admin"}});
        let answer = daemon.anonymous().post("/v1/tokens", &body).await.unwrap();
        let problem = answer.json().unwrap();
        assert_eq!(answer.status(), 401, "{problem}");
        assert_eq!(problem["type"], "urn:archipel:problem:unauthenticated", "{problem}");
    }
    let line =
        logged(&daemon, from, &["binding=\"forger\"", "the binding may not speak for this issuer"]).await;
    println!("{name}\n    log:  {line}");
    assert_eq!(neighbour.lost().await, Vec::<String>::new());
    neighbour.end().await.unwrap();
}

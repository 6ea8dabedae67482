//! `archipel` as people and scripts type it, against a site that runs: what it prints, and its exit codes: 0 yes, 1 no,
//! 2 wrong usage or environment.

use archipel_tests::cli::{self, Ran, archipel};
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;
use archipel_tests::{built, component};
use serde_json::json;

/// As alice, over the network.
async fn as_alice(site: &Site, daemon: &Daemon, arguments: &[&str]) -> Ran {
    let token = daemon.token("alice", site.password("alice")).await.unwrap();
    let mut command = cli::program().unwrap();
    command.env("ARCHIPEL_URL", daemon.url()).env("ARCHIPEL_TOKEN", token).args(arguments);
    tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap()
}

/// As the administrator, through the socket that the site file leads to.
async fn as_admin(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = cli::program().unwrap();
    command.arg("--config").arg(site.file()).args(arguments);
    tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_created_listed_shown_watched_and_deleted() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let create = [
        "order",
        "create",
        "compute",
        "--image",
        "@cirros",
        "--vcpu",
        "1",
        "--ram-mib",
        "256",
        "--name",
        "web",
    ];
    let mut waiting = create.to_vec();
    waiting.extend(["--label", "tier=front", "--wait", "--output", "json"]);
    let lines = as_alice(&site, &daemon, &waiting).await.with_code(0).json_lines();
    let done = lines.last().unwrap();
    assert_eq!(done["state"], "fulfilled", "{lines:?}");
    let id = done["id"].as_str().unwrap();

    let listed = as_alice(&site, &daemon, &["order", "list", "--label", "tier=front"]).await.with_code(0);
    assert!(listed.out.contains(id) && listed.out.contains("fulfilled"), "{listed:?}");
    let none = as_alice(&site, &daemon, &["order", "list", "--kind", "volume", "--output", "json"])
        .await
        .with_code(0);
    assert_eq!(none.json()["items"], json!([]));
    let shown = as_alice(&site, &daemon, &["order", "show", id, "--refresh"]).await.with_code(0);
    assert!(shown.out.contains("fulfilled") && shown.out.contains("web"), "{shown:?}");
    as_alice(&site, &daemon, &["order", "watch", id]).await.with_code(0);
    let dry = as_alice(&site, &daemon, &["order", "delete", id, "--dry-run"]).await.with_code(0);
    assert!(dry.out.contains(id), "{dry:?}");
    let deleted = as_alice(&site, &daemon, &["order", "delete", id, "--wait"]).await.with_code(0);
    assert!(deleted.out.contains("closed"), "{deleted:?}");
    // What cannot be is told with its reason, as text or as a problem document.
    let refused =
        as_alice(&site, &daemon, &["order", "create", "compute", "--image", "@cirros", "--cloud", "nowhere"])
            .await;
    let refused = refused.with_code(1);
    assert!(refused.err.contains("unknown-cloud"), "{refused:?}");
    let unknown = ["order", "show", "0190f3a4-7c3b-7def-8000-123456789abc", "--output", "json"];
    let unknown = as_alice(&site, &daemon, &unknown).await.with_code(1);
    assert!(unknown.err.contains("urn:archipel:problem:not-found"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_makes_watch_say_no() {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] =
        json!({"faults": [{"kind": "volume", "mode": "invalid", "message": "no such disks"}]});
    let daemon = site.start().await.unwrap();
    let ran = as_alice(&site, &daemon, &["order", "create", "volume", "--size-gib", "1", "--wait"])
        .await
        .with_code(1);
    assert!(ran.out.contains("failed-on-request") && ran.out.contains("no such disks"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_by_logging_in() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let password = site.folder().join("password");
    std::fs::write(&password, format!("{}\n", site.password("alice"))).unwrap();
    let login = |file: &str| {
        let mut command = cli::program().unwrap();
        command.args([
            "token",
            "local",
            "--username",
            "alice",
            "--password-file",
            file,
            "--url",
            daemon.url(),
        ]);
        command.stdin(std::process::Stdio::null());
        command
    };
    let mut command = login(password.to_str().unwrap());
    let ran =
        tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap().with_code(0);
    let token = ran.out.trim().to_owned();
    assert!(token.starts_with("arch1."), "{ran:?}");
    let me = daemon.anonymous().with_token(token).get("/v1/me").await.unwrap().success().unwrap();
    assert_eq!(me["subject"], "alice");

    std::fs::write(&password, "wrong\n").unwrap();
    let mut command = login(password.to_str().unwrap());
    tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap().with_code(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_sees_checks_grants_and_reloads_plugins() {
    let mut site = Site::temporary().unwrap();
    site.config["grants"].as_object_mut().unwrap().remove("cloud-emulated");
    let daemon = site.start().await.unwrap();
    let listed = as_admin(&site, &["plugin", "list"]).await;
    assert!(listed.out.contains("aaa-local") && listed.out.contains("live"), "{listed:?}");
    assert!(listed.out.contains("cloud-emulated") && listed.out.contains("rejected"), "{listed:?}");
    assert!(listed.out.contains("[grants.cloud-emulated]"), "the reason is told: {listed:?}");

    let shown = as_admin(&site, &["plugin", "grant", "cloud-emulated"]).await.with_code(0);
    assert!(shown.out.contains("storage"), "{shown:?}");
    as_admin(&site, &["plugin", "grant", "cloud-emulated", "--write"]).await.with_code(0);
    as_admin(&site, &["check-config"]).await.with_code(0);
    as_admin(&site, &["plugin", "reload"]).await.with_code(0);
    daemon.plugin_state("cloud-emulated", "live", None).await.unwrap();
    let listed = as_admin(&site, &["plugin", "list", "--output", "json"]).await.with_code(0).json();
    let states: Vec<_> = listed["items"].as_array().unwrap().iter().map(|plugin| &plugin["state"]).collect();
    assert!(states.iter().all(|state| *state == "live"), "{listed}");

    as_admin(&site, &["plugin", "quarantine", "cloud-emulated", "--reason", "for a test"]).await;
    daemon.plugin_state("cloud-emulated", "quarantined", None).await.unwrap();
    as_admin(&site, &["plugin", "release", "cloud-emulated"]).await.with_code(0);
    daemon.plugin_state("cloud-emulated", "live", None).await.unwrap();
    let doctor = as_admin(&site, &["doctor"]).await;
    assert!([0, 1].contains(&doctor.code), "{doctor:?}");
    assert!(as_admin(&site, &["doctor", "--output", "json"]).await.json()["findings"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_installed_from_a_file_and_what_is_none_is_not() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // As cargo names it.
    let file = folder.path().join("mapper_by_group.wasm");
    std::fs::write(&file, built::plugin("mapper-by-group").unwrap()).unwrap();
    let ran = as_admin(&site, &["plugin", "install", file.to_str().unwrap()]).await.with_code(0);
    assert!(ran.out.contains("mapper-by-group.wasm is installed"), "{ran:?}");
    let status = daemon
        .plugin_when("mapper-by-group", |status| {
            status["state"].as_str().is_some_and(|state| ["checked", "compiled"].contains(&state))
        })
        .await
        .unwrap();
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status}");

    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let arguments = ["plugin", "install", file.to_str().unwrap(), "--name", "core", "--output", "json"];
    let refused = as_admin(&site, &arguments).await.with_code(1).json();
    assert!(refused["problem"].as_str().unwrap().contains("core module"), "{refused}");
    assert!(!site.plugin_dir().join("core.wasm").exists());
    let nameless = ["plugin", "install", file.to_str().unwrap(), "--name", "Not_A_Name"];
    as_admin(&site, &nameless).await.with_code(2);

    // Explained where it lies, with what it lacks in this site.
    let explained =
        as_admin(&site, &["plugin", "explain", "cloud-emulated", "--output", "json"]).await.with_code(0);
    assert_eq!(explained.json()["missing_grants"], serde_json::Value::Null);
    assert_eq!(explained.json()["contracts"][0]["differences"], serde_json::json!([]));
}

#[test]
fn plugin_files_are_checked_and_explained_without_a_site() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mapper = built::plugin("mapper-by-group").unwrap();
    let good = file("mapper-by-group.wasm", &mapper);
    let ran = archipel(&["plugin", "check", &good]).unwrap().with_code(0);
    assert!(ran.out.contains("federation-to-local-mapper"), "{ran:?}");
    let explained = archipel(&["plugin", "explain", &good]).unwrap().with_code(0);
    assert!(explained.out.contains("mapper-by-group") && explained.out.contains("0.1.0"), "{explained:?}");
    assert!(explained.out.contains("fits the contract 0.1.0"), "{explained:?}");
    assert!(explained.out.contains("decides which account of a cloud a user becomes"), "{explained:?}");
    for (name, bytes, told) in [
        ("cut.wasm", mapper[..1000].to_vec(), "ends early"),
        ("core.wasm", b"\0asm\x01\0\0\0".to_vec(), "core module"),
        ("bare.wasm", component::without_manifest(&mapper), "no manifest"),
        ("future.wasm", component::of_version(&mapper, "0.1.0", "0.9.0"), "0.9.0"),
    ] {
        let ran = archipel(&["plugin", "check", &file(name, &bytes)]).unwrap().with_code(1);
        assert!(ran.out.contains(told), "{ran:?}");
        let json = archipel(&["plugin", "check", &file(name, &bytes), "--output", "json"])
            .unwrap()
            .with_code(1)
            .json();
        assert_eq!(json["ok"], false, "{json}");
    }
    archipel(&["plugin", "check", "/no/such/file.wasm"]).unwrap().with_code(2);
}

#[test]
fn wrong_usage_and_a_site_that_is_not_there_are_code_2() {
    archipel(&["frobnicate"]).unwrap().with_code(2);
    archipel(&["order", "create", "castle"]).unwrap().with_code(2);
    archipel(&["order", "list", "--url", "not-a-url"]).unwrap().with_code(2);
    let ran = archipel(&["order", "list", "--url", "http://127.0.0.1:1"]).unwrap().with_code(2);
    assert!(ran.err.contains("http://127.0.0.1:1"), "{ran:?}");
    let site = Site::temporary().unwrap();
    site.write().unwrap();
    let ran = site.archipel(&["plugin", "list"]).unwrap().with_code(2);
    assert!(ran.err.contains("admin.sock"), "{ran:?}");
    let help = archipel(&["--help"]).unwrap().with_code(0);
    for command in ["serve", "check-config", "doctor", "token", "order", "plugin"] {
        assert!(help.out.contains(command), "{command}");
    }
    assert!(archipel(&["--version"]).unwrap().with_code(0).out.starts_with("archipel "));
}

#[test]
fn man_pages_and_completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man1");
    archipel(&["man", man.to_str().unwrap()]).unwrap().with_code(0);
    let page = |name: &str| {
        let page = std::fs::read_to_string(man.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // roff's way to write a dash that is one.
        page.replace("\\-", "-")
    };
    assert!(page("archipel.1").contains(".TH archipel 1"));
    assert!(page("archipel-order-create.1").contains("--vcpu"));
    for shell in ["bash", "zsh", "fish"] {
        let script = archipel(&["completions", shell]).unwrap().with_code(0).out;
        assert!(script.contains("check-config") && script.contains("doctor"), "{shell}");
    }
}

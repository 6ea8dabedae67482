//! A plugin in another language than ours, from `wit/` alone: built by its own tools, held to the contract, and in a site. Its
//! figures are printed beside those of the same policy in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use archipel_client::Client;
use archipel_tests::site::Site;
use archipel_tests::{built, cli};
use serde_json::{Value, json};

/// Requests by which both are compared.
const REQUESTS: u32 = 60;

fn repository() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    here.parent().unwrap().canonicalize().unwrap()
}

fn run(command: &mut Command) {
    let done =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install Node 20 with npm"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

/// The component, built in a folder that is kept: the tools are fetched once, and it is made anew when its source or the
/// contract changed.
fn hours_in_javascript() -> PathBuf {
    let (source, folder) = (
        repository().join("examples/hours-in-javascript"),
        built::target_dir().unwrap().join("second-language"),
    );
    std::fs::create_dir_all(&folder).unwrap();
    for file in
        ["package.json", "package-lock.json", "build.mjs", "authorization.js", "manifest.json", "case.json"]
    {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let plugin = folder.join("hours-in-javascript.wasm");
    let (made_from, now) = (folder.join("made-from"), made_of(&folder));
    if plugin.exists() && std::fs::read_to_string(&made_from).is_ok_and(|before| before == now) {
        return plugin;
    }
    if !folder.join("node_modules/@bytecodealliance/componentize-js").exists() {
        // As the lock file says; `ci` would ask for packages of machines that the registry here does not list.
        let install = ["install", "--no-save", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(install).current_dir(&folder));
    }
    let wit = repository().join("wit");
    run(Command::new("node").args(["build.mjs", wit.to_str().unwrap(), "hours.wasm"]).current_dir(&folder));
    run(cli::program()
        .unwrap()
        .args(["plugin", "embed", "hours.wasm", "--manifest", "manifest.json", "--out"])
        .arg(&plugin)
        .current_dir(&folder));
    std::fs::write(made_from, now).unwrap();
    plugin
}

/// A digest of everything that it is made of.
fn made_of(folder: &Path) -> String {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    let wit = repository().join("wit");
    let packages =
        ["plugin.wit", "deps/archipel-aaa/aaa.wit", "deps/archipel-host/host.wit"].map(|file| wit.join(file));
    let sources =
        ["package-lock.json", "build.mjs", "authorization.js", "manifest.json"].map(|file| folder.join(file));
    for file in packages.iter().chain(&sources) {
        hash.update(std::fs::read(file).unwrap());
    }
    format!("{:x}", hash.finalize())
}

/// A figure of a function of a plugin.
async fn figure(admin: &Client, plugin: &str) -> Value {
    let status = admin.get(&format!("/v1/admin/plugins/{plugin}")).await.unwrap().success().unwrap();
    status["figures"]["authorization.is-authorized"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_in_javascript_serves_beside_one_in_rust() {
    let plugin = hours_in_javascript();
    let case = plugin.with_file_name("case.json");
    let report = cli::archipel(&[
        "--output",
        "json",
        "plugin",
        "test",
        plugin.to_str().unwrap(),
        "--case",
        case.to_str().unwrap(),
    ])
    .unwrap()
    .with_code(0)
    .json();
    println!("{} contract tests, ok: {}", report["findings"].as_array().unwrap().len(), report["ok"]);

    let mut site = Site::temporary().unwrap();
    let bytes = std::fs::read(&plugin).unwrap();
    site.drop_plugin("hours-in-javascript", &bytes).unwrap();
    site.drop_plugin("smallest-authorization", &built::plugin("smallest-authorization").unwrap()).unwrap();
    site.config["authorization"] = json!([
        {"plugin": "smallest-authorization"},
        {"plugin": "hours-in-javascript", "config": {"from": 0, "until": 24}},
    ]);
    let began = Instant::now();
    let daemon = site.start().await.unwrap();
    println!("a start that compiles both: {} ms", began.elapsed().as_millis());
    daemon.plugin_state("hours-in-javascript", "live", None).await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    for _ in 0..REQUESTS {
        alice.get("/v1/clouds").await.unwrap().success().unwrap();
    }
    for (name, size) in [
        ("hours-in-javascript", bytes.len()),
        ("smallest-authorization", built::plugin("smallest-authorization").unwrap().len()),
    ] {
        let figures = figure(&daemon.admin(), name).await;
        println!("{name:<24} {:>6} KiB   {figures}", size / 1024);
        assert!(figures["calls"]["ok"].as_u64().unwrap() >= u64::from(REQUESTS), "{name}: {figures}");
        assert!(figures["calls"]["deadline"].as_u64().unwrap_or(0) == 0, "{name}: {figures}");
    }
    // What it refuses, it refuses in its own words.
    site.config["authorization"][1]["config"]["until"] = 0.into();
    site.write().unwrap();
    daemon.admin().post("/v1/admin/config/actions/reload", &json!({})).await.unwrap().success().unwrap();
    let refused = alice.post("/v1/volumes", &json!({"size_gib": 1})).await.unwrap();
    assert_eq!(refused.status(), 403, "{:?}", refused.json());
    assert!(
        refused.json().unwrap().to_string().contains("orders are taken from 0 to 0"),
        "{:?}",
        refused.json()
    );
}

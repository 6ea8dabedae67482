//! What an author of plugins does: the crates that `plugin new` writes are built for the sandbox and pass their own tests, and
//! the guide is followed line by line.

use std::path::{Path, PathBuf};
use std::process::Command;

use archipel_tests::{built, cli};

/// Where crates are made and built: kept, so that the next run builds little.
fn workshop(name: &str) -> PathBuf {
    let folder = built::target_dir().unwrap().join("authors").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// This repository. Asked at run time: a target folder may serve clones in several places.
fn repository() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    here.parent().unwrap().canonicalize().unwrap()
}

/// `archipel` itself drives the tests of generated crates, and dependencies are those of this repository.
fn as_author(command: &mut Command) -> &mut Command {
    let archipel = built::archipel().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", archipel.parent().unwrap().display()))
        .env("ARCHIPEL_BIN", archipel)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
}

fn generated(kind: &str) {
    let name = format!("my-{kind}");
    let folder = workshop("generated");
    let krate = folder.join(&name);
    let _ = std::fs::remove_dir_all(&krate);
    let sdk = repository().join("sdk");
    cli::archipel(&[
        "plugin",
        "new",
        "--kind",
        kind,
        &name,
        "--folder",
        folder.to_str().unwrap(),
        "--sdk",
        sdk.to_str().unwrap(),
    ])
    .unwrap()
    .with_code(0);
    std::fs::copy(repository().join("Cargo.lock"), krate.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new("cargo");
    // One target folder for all kinds: the SDK is built once.
    let tested = as_author(&mut cargo)
        .args(["test"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .current_dir(&krate)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&tested.stdout).into_owned() + &String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success(), "{kind}: {said}");
    assert!(said.contains("the_contract_holds ... ok"), "{kind}: {said}");

    let component = folder.join(format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_")));
    let case = krate.join("tests/case.json");
    let report = cli::archipel(&[
        "--output",
        "json",
        "plugin",
        "test",
        component.to_str().unwrap(),
        "--case",
        case.to_str().unwrap(),
    ])
    .unwrap()
    .with_code(0)
    .json();
    let skipped: Vec<&serde_json::Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| {
            finding["outcome"] != "passed"
                && finding["contract"] != "the same order again gives no second one"
        })
        .collect();
    assert!(skipped.is_empty(), "{kind}: what a new crate cannot be tried on is not tried: {skipped:?}");
}

#[test]
fn a_new_authorization_builds_and_keeps_its_contract() {
    generated("authorization");
}

#[test]
fn a_new_benchmark_builds_and_keeps_its_contract() {
    generated("benchmark");
}

#[test]
fn a_new_identity_builds_and_keeps_its_contract() {
    generated("identity");
}

#[test]
fn a_new_mapper_builds_and_keeps_its_contract() {
    generated("mapper");
}

#[test]
fn a_new_cloud_builds_and_keeps_its_contract() {
    generated("cloud");
}

/// The guide as one script: files are written, commands run, the first that fails ends it.
fn script(guide: &str) -> String {
    let mut script = String::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(opening) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n");
        match opening.split_once(" title=") {
            Some((_, file)) => {
                let folder = Path::new(file).parent().unwrap().display().to_string();
                script +=
                    &format!("mkdir -p ./{folder}\ncat > {file} <<'END OF FILE'\n{block}\nEND OF FILE\n");
            }
            None => {
                assert_eq!(opening, "sh", "the guide has a block that nothing runs:\n{block}");
                // What was built last time is used again.
                let prepared = "cd night-shift\nif [ -d $KEPT/target ]; then mv $KEPT/target target; fi\ncp $ARCHIPEL/Cargo.lock .";
                script += &block.replace("cd night-shift", prepared);
                script.push('\n');
            }
        }
    }
    script
}

#[test]
fn the_guide_leads_from_nothing_to_a_plugin_in_a_running_site() {
    let guide = std::fs::read_to_string(repository().join("sdk/README.md")).unwrap();
    let steps = script(&guide);
    assert!(steps.contains("archipel serve") && steps.contains("cat > src/lib.rs"), "{steps}");
    let work = tempfile::tempdir().unwrap();
    let kept = workshop("guide");
    let file = work.path().join("guide.sh");
    let ending = "trap 'kill $(jobs -p) 2>/dev/null; wait; [ -d \"$WORK/night-shift/target\" ] && mv \"$WORK/night-shift/target\" \"$KEPT/target\"; true' EXIT";
    std::fs::write(&file, format!("set -eux\nWORK=$PWD\n{ending}\n{steps}")).unwrap();
    let mut bash = Command::new("bash");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARCHIPEL")) {
        bash.env_remove(name);
    }
    let done = as_author(&mut bash)
        .arg(&file)
        .env("ARCHIPEL", repository())
        .env("PLUGINS", built::plugins().unwrap())
        .env("KEPT", &kept)
        .current_dir(work.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    let log = std::fs::read_to_string(work.path().join("site/serve.log")).unwrap_or_default();
    assert!(done.status.success(), "{said}\n{log}");
}

#[test]
fn a_crate_is_never_written_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let (place, sdk) = (folder.path().to_str().unwrap(), repository().join("sdk"));
    let new = |name: &str| {
        let sdk = sdk.to_str().unwrap();
        cli::archipel(&["plugin", "new", "--kind", "mapper", name, "--folder", place, "--sdk", sdk]).unwrap()
    };
    new("mine").with_code(0);
    assert!(new("mine").with_code(2).err.contains("is there already"));
    assert!(new("../mine").with_code(2).err.contains("not a plugin's name"));
}

//! `cargo xtask plugins`: every component of the workspace, built for the sandbox in its own profile and target folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, places};

/// The sandbox's target.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Makes sure of the target, builds, and puts the components where sites are made from. Quiet when all is up to date.
pub(crate) fn build() -> Result<()> {
    make_sure_of_target()?;
    let packages = packages()?;
    cargo::run(&mut build_command(&packages)?)?;
    collect(&packages)?;
    cargo::run(build_command(&[CORPUS.to_owned()])?.arg("--examples"))?;
    collect_corpus()
}

/// Components outside the workspace, each with a lock of its own: what they need must not decide what the site is built of.
const APART: [&str; 1] = ["examples/rego-policy"];

/// The same for those that lie apart.
pub(crate) fn build_apart() -> Result<()> {
    make_sure_of(TARGET)?;
    let target = places::plugin_target_dir()?.join("apart");
    for folder in APART {
        let mut command = cargo::cargo()?;
        command.env("CARGO_TARGET_DIR", &target).current_dir(places::workspace().join(folder));
        command.args(["build", "--quiet", "--locked", "--target", TARGET, "--profile", "plugin"]);
        cargo::run(&mut command)?;
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let built = target.join(TARGET).join("plugin").join(format!("{}.wasm", name.replace('-', "_")));
        copy_new(&built, &places::dist()?.join("apart"), name)?;
    }
    Ok(())
}

/// The package whose examples are components that attack, each one thing.
pub(crate) const CORPUS: &str = "hostile-corpus";

/// Packages that are components: those that make a `cdylib`.
pub(crate) fn packages() -> Result<Vec<String>> {
    let mut packages: Vec<String> = cargo::targets()?
        .into_iter()
        .filter(|target| target.is("cdylib"))
        .map(|target| target.package)
        .collect();
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// How they are built.
pub(crate) fn build_command(packages: &[String]) -> Result<Command> {
    let mut command = cargo::cargo_for_plugins()?;
    command.args(["build", "--quiet", "--target", TARGET, "--profile", "plugin"]);
    for package in packages {
        command.args(["--package", package]);
    }
    Ok(command)
}

/// Installs the sandbox's target.
pub(crate) fn make_sure_of_target() -> Result<()> {
    make_sure_of(TARGET)
}

/// Installs a target where rustup manages the toolchain and it is missing.
pub(crate) fn make_sure_of(target: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("starting rustc")?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&folder).is_dir() {
        return Ok(());
    }
    let added =
        Command::new("rustup").args(["target", "add", target]).current_dir(places::workspace()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("rustup target add {target} ended with {status}"),
        Err(error) => bail!(
            "the target {target} is not installed and rustup cannot be started ({error}); install it with your toolchain"
        ),
    }
}

/// Copies what is new into the folder that sites are made from. A copy is renamed in: a test that reads it meanwhile
/// sees the old one or the new one.
fn collect(packages: &[String]) -> Result<()> {
    let built = places::plugin_target_dir()?.join(TARGET).join("plugin");
    let dist = places::dist()?;
    for package in packages {
        copy_new(&built.join(format!("{}.wasm", package.replace('-', "_"))), &dist, package)?;
    }
    Ok(())
}

/// The same for the corpus, into a folder of its own: nobody makes a site of it.
fn collect_corpus() -> Result<()> {
    let built = places::plugin_target_dir()?.join(TARGET).join("plugin").join("examples");
    let dist = places::dist()?.join("hostile");
    for target in cargo::targets()?.iter().filter(|target| target.package == CORPUS && target.is("example")) {
        copy_new(&built.join(format!("{}.wasm", target.name.replace('-', "_"))), &dist, &target.name)?;
    }
    Ok(())
}

fn copy_new(from: &Path, dist: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(dist).with_context(|| format!("making {}", dist.display()))?;
    let to = dist.join(format!("{name}.wasm"));
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(&to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let beside = dist.join(format!(".{name}.part"));
    fs::write(&beside, &bytes)
        .and_then(|()| fs::rename(&beside, &to))
        .with_context(|| format!("writing {}", to.display()))?;
    println!("{} ({} KiB)", to.display(), bytes.len().div_ceil(1024));
    Ok(())
}

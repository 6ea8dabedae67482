//! Calls of cargo. The host is always built for all default members at once, never with `-p`: cargo resolves features
//! for what is selected, and another selection would build other variants of the same crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::places;

/// Cargo in the repository's root, with the target folder that this xtask was built in.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(places::workspace()).env("CARGO_TARGET_DIR", places::target_dir()?);
    Ok(command)
}

/// Cargo for the sandbox, with the plugins' own target folder.
pub(crate) fn cargo_for_plugins() -> Result<Command> {
    let mut command = cargo()?;
    command.env("CARGO_TARGET_DIR", places::plugin_target_dir()?);
    Ok(command)
}

/// The host's binaries: `archipel`, and `archipel-lab` which tries it.
pub(crate) fn build_host() -> Result<Command> {
    let mut command = cargo()?;
    command.args(["build", "--bins"]);
    Ok(command)
}

/// Runs it with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A target of a package of this workspace.
#[derive(Debug)]
pub(crate) struct Target {
    /// The package.
    pub(crate) package: String,
    /// Its own name.
    pub(crate) name: String,
    /// `lib`, `bin`, `cdylib`, `bench`, ...
    pub(crate) kinds: Vec<String>,
    /// The package's folder.
    pub(crate) folder: PathBuf,
}

impl Target {
    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|known| known == kind)
    }
}

/// All targets of the workspace.
pub(crate) fn targets() -> Result<Vec<Target>> {
    let output = cargo()?
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("starting cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut targets = Vec::new();
    for package in list(&metadata, "packages") {
        let manifest = PathBuf::from(text(&package, "manifest_path"));
        for target in list(&package, "targets") {
            targets.push(Target {
                package: text(&package, "name"),
                name: text(&target, "name"),
                kinds: list(&target, "kind").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                folder: manifest.parent().unwrap_or(&manifest).to_owned(),
            });
        }
    }
    Ok(targets)
}

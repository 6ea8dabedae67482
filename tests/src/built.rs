//! Where the things under test were built. Everything follows from the running executable's place in the target folder,
//! so that tests, demo and torture use what the same `cargo xtask` built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Cargo's target folder: the parent of `debug` or `release` above the running executable.
///
/// # Errors
/// When the executable does not lie in one.
pub fn target_dir() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("finding the running executable")?;
    let profile = profile_dir(&executable)?;
    Ok(profile.parent().context("a target folder")?.to_owned())
}

fn profile_dir(executable: &Path) -> Result<&Path> {
    executable
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "debug" || name == "release"))
        .with_context(|| format!("{} does not lie in cargo's target folder", executable.display()))
}

/// The binary `archipel`.
///
/// # Errors
/// When it was not built.
pub fn archipel() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("finding the running executable")?;
    existing(profile_dir(&executable)?.join("archipel"), "cargo build -p archipel-daemon")
}

/// The folder in which `cargo xtask plugins` leaves the components, named as they are dropped: `NAME.wasm`.
///
/// # Errors
/// When they were not built.
pub fn plugins() -> Result<PathBuf> {
    existing(target_dir()?.join("plugins").join("dist"), "cargo xtask plugins")
}

/// The bytes of one component.
///
/// # Errors
/// When it was not built.
pub fn plugin(name: &str) -> Result<Vec<u8>> {
    let file = existing(plugins()?.join(format!("{name}.wasm")), "cargo xtask plugins")?;
    std::fs::read(&file).with_context(|| format!("reading {}", file.display()))
}

/// The file of a component with a lock of its own.
///
/// # Errors
/// When it was not built.
pub fn apart(name: &str) -> Result<PathBuf> {
    existing(plugins()?.join("apart").join(format!("{name}.wasm")), "cargo xtask plugins --all")
}

fn existing(path: PathBuf, command: &str) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{} is not there; run `{command}` first", path.display());
    }
    Ok(path)
}

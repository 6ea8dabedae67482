//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository's root. `cargo run` says where it is: an executable may have been built in another clone that shares the
/// target folder.
pub(crate) fn workspace() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder, whichever way it was set: this executable lies in it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("finding the running executable")?;
    let folder = executable
        .ancestors()
        .nth(2)
        .context("xtask does not lie in cargo's target folder; run it as `cargo xtask`")?;
    Ok(folder.to_owned())
}

/// The target folder of plugins: inside the other, so that one variable moves both, and apart, so that neither build
/// waits for the other's lock.
pub(crate) fn plugin_target_dir() -> Result<PathBuf> {
    Ok(target_dir()?.join("plugins"))
}

/// Where built plugins lie, named as they are dropped.
pub(crate) fn dist() -> Result<PathBuf> {
    Ok(plugin_target_dir()?.join("dist"))
}

/// A binary that `cargo build --bins` made.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    Ok(target_dir()?.join("debug").join(name))
}

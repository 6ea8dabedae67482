//! Where the built binary and the built plugins are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder for native code: `CARGO_TARGET_DIR`, or `target` in the repository.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The target folder of plugins: apart, because their profile and target share nothing with the host's.
pub fn plugin_target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from) {
        Some(target) => {
            target.parent().map_or_else(|| target.join("plugins"), |parent| parent.join("plugins"))
        }
        None => workspace().join("target-plugins"),
    }
}

/// Where `cargo xtask plugins` leaves `NAME.wasm`: `ARCHIPEL_PLUGINS`, or `dist` in the plugins' target folder.
pub fn plugins() -> PathBuf {
    std::env::var_os("ARCHIPEL_PLUGINS").map_or_else(|| plugin_target().join("dist"), PathBuf::from)
}

/// One built plugin.
///
/// # Errors
/// When it is not built.
pub fn plugin(name: &str) -> Result<PathBuf> {
    let file = plugins().join(format!("{name}.wasm"));
    if !file.is_file() {
        bail!("{} is not there; run `cargo xtask plugins` first", file.display());
    }
    Ok(file)
}

/// The binary `archipel`: `ARCHIPEL_BIN`, or beside the running test or tool.
///
/// # Errors
/// When it is not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("ARCHIPEL_BIN") {
        return Ok(binary.into());
    }
    let running = std::env::current_exe().context("finding the running binary")?;
    let beside = running.ancestors().skip(1).take(2).map(|folder| folder.join("archipel"));
    let built = target().join("debug/archipel");
    beside
        .chain([built])
        .find(|binary| binary.is_file())
        .context("the binary archipel is not built; run `cargo build` first, or name it in ARCHIPEL_BIN")
}

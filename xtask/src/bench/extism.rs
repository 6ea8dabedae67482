//! The other side of the bench `plugins-extism`: a program and its plugin with a lock of their own, because Extism brings its
//! own wasmtime. The first build takes about ten minutes of two processors.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{cargo, places, plugins};

/// The bench that needs it.
pub(super) const BENCH: &str = "plugins-extism";

/// Extism's sandbox: a core module without WASI.
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds both, and tells a bench where they are.
pub(super) fn build_for(bench: &mut Command) -> Result<()> {
    plugins::make_sure_of(TARGET)?;
    cargo::run(build()?.args(["--package", "extism-host"]))?;
    cargo::run(build()?.args([
        "--package",
        "extism-authz-roles",
        "--target",
        TARGET,
        "--profile",
        "plugin",
    ]))?;
    let target = target_dir()?;
    bench
        .env("ARCHIPEL_EXTISM_HOST", target.join("debug").join("extism-host"))
        .env("ARCHIPEL_EXTISM_GUEST", target.join(TARGET).join("plugin").join("extism_authz_roles.wasm"));
    Ok(())
}

fn build() -> Result<Command> {
    let mut command = cargo::cargo()?;
    command
        .env("CARGO_TARGET_DIR", target_dir()?)
        .current_dir(places::workspace().join("host/runtime/benches/extism"))
        .args(["build", "--quiet", "--locked"]);
    Ok(command)
}

fn target_dir() -> Result<PathBuf> {
    Ok(places::target_dir()?.join("extism"))
}

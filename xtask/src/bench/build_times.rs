//! How long a developer waits: a build from nothing, and one after a changed line in `host/api`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{cargo, places};

/// Both figures. The clean build gets a target folder of its own, which is removed afterwards.
pub(super) fn measure() -> Result<Vec<Value>> {
    let folder = places::target_dir()?.join("bench-clean-build");
    let _ = fs::remove_dir_all(&folder);
    let clean = build_in(&folder)?;
    let changed =
        changed_line(&places::workspace().join("host/api/src/routes/health.rs"), || build_in(&folder));
    fs::remove_dir_all(&folder)?;
    let figure = |id: &str, what: &str, ours: f64| json!({"id": id, "what": what, "ours": ours, "baseline": null, "unit": "s", "goal": null});
    Ok(vec![
        figure("B1", "cargo build --bins from nothing", clean),
        figure("B2", "cargo build --bins after a changed line in host/api", changed?),
    ])
}

/// Does something while the first function of a file has a line more, which the compiler cannot leave out.
fn changed_line<T>(file: &Path, then: impl FnOnce() -> Result<T>) -> Result<T> {
    let source = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let changed = source.replacen(") -> Response {\n", ") -> Response {\n    std::hint::black_box(1);\n", 1);
    ensure!(changed != source, "{} has no function to change", file.display());
    let done = fs::write(file, changed).context("changing a line").and_then(|()| then());
    fs::write(file, source).with_context(|| format!("restoring {}", file.display()))?;
    done
}

fn build_in(folder: &Path) -> Result<f64> {
    let mut command = cargo::build_host()?;
    command.arg("--quiet").env("CARGO_TARGET_DIR", folder);
    let began = Instant::now();
    if !command.status()?.success() {
        bail!("{} failed", cargo::shown(&command));
    }
    Ok((began.elapsed().as_secs_f64() * 10.0).round() / 10.0)
}

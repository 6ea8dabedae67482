//! How long a developer waits: a build from nothing, and one after a changed line in `host/api`.

use std::fs::{self, File};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{cargo, places};

/// Both figures. The clean build gets a target folder of its own, which is removed afterwards.
pub(super) fn measure() -> Result<Vec<Value>> {
    let folder = places::target_dir()?.join("bench-clean-build");
    let _ = fs::remove_dir_all(&folder);
    let clean = build_in(&folder)?;
    let file = places::workspace().join("host/api/src/lib.rs");
    let source =
        File::options().append(true).open(&file).with_context(|| format!("opening {}", file.display()))?;
    source.set_modified(SystemTime::now()).with_context(|| format!("touching {}", file.display()))?;
    let changed = build_in(&folder);
    fs::remove_dir_all(&folder)?;
    let figure = |id: &str, what: &str, ours: f64| json!({"id": id, "what": what, "ours": ours, "baseline": null, "unit": "s", "goal": null});
    Ok(vec![
        figure("B1", "cargo build --bins from nothing", clean),
        figure("B2", "cargo build --bins after a change in host/api", changed?),
    ])
}

fn build_in(folder: &std::path::Path) -> Result<f64> {
    let mut command = cargo::build_host()?;
    command.arg("--quiet").env("CARGO_TARGET_DIR", folder);
    let began = Instant::now();
    if !command.status()?.success() {
        bail!("{} failed", cargo::shown(&command));
    }
    Ok((began.elapsed().as_secs_f64() * 10.0).round() / 10.0)
}

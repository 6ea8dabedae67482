//! `plugin explain`: what a file is and would do, and, where there is a site file, what it would still have to be granted.

use std::path::Path;

use archipel_runtime::Explanation;
use archipel_runtime::grants::EffectiveGrants;
use serde_json::Value;

use super::grant::configurations;
use crate::cli::DoorArgs;
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer};

pub(super) async fn run(plugin: &str, door: &DoorArgs, printer: &Printer) -> Outcome {
    let file = super::file_of(plugin, door)?;
    let explained = super::explained(&file, &super::limits(door)).await.map_err(Failure::environment)?;
    let missing = missing(&file, &explained, door);
    let mut text = explained.to_string();
    if let Some(lines) = &missing {
        text.push_str("would have to be granted first; `archipel plugin grant` tells what that means:\n");
        text.extend(lines.lines().flat_map(|line| ["  ", line, "\n"]));
    }
    let mut json = serde_json::to_value(&explained).map_err(Failure::environment)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("missing_grants".to_owned(), missing.map_or(Value::Null, Value::String));
    }
    printer.say(text.trim_end(), &json);
    Ok(if explained.ok { Answer::Yes } else { Answer::No })
}

/// The lines of the site file that it lacks under its name, in all places that use it. `None` without a site file: an
/// author has none.
fn missing(file: &Path, explained: &Explanation, door: &DoorArgs) -> Option<String> {
    let config = Config::load(&door.config).ok()?;
    let name = file.file_stem()?.to_str()?;
    let requested = &explained.manifest.as_ref()?.capabilities;
    let grant = config.runtime.grants.get(name).cloned().unwrap_or_default();
    let mut all: Vec<String> = configurations(name, &config.runtime)
        .iter()
        .map(|binding| EffectiveGrants::missing(requested, &grant, binding))
        .filter(|missing| !missing.is_empty())
        .map(|missing| missing.as_toml(name, &grant))
        .collect();
    all.dedup();
    (!all.is_empty()).then(|| all.join("\n"))
}

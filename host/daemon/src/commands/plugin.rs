//! `archipel plugin`: files are looked at here and now; what a running site makes of them is asked at its door.

pub(crate) mod embed;
mod evidence;
mod explain;
mod figures;
mod grant;
mod install;
pub(crate) mod new;
mod shadow;
pub(crate) mod test;

use std::path::{Path, PathBuf};

use archipel_client::Client;
use archipel_runtime::{Compiler, Explanation, RuntimeLimits};
use serde_json::{Value, json};

use crate::cli::{DoorArgs, PluginCommand};
use crate::commands::order::{escaped, text};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer, table};

pub(crate) async fn run(command: &PluginCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    match command {
        PluginCommand::Check { file } => check(file, door, printer).await,
        PluginCommand::Explain { plugin } => explain::run(plugin, door, printer).await,
        PluginCommand::Grant { name, write, accept } => {
            grant::run(name, *write, *accept, door, printer).await
        }
        PluginCommand::Install(args) => install::run(args, door, printer).await,
        PluginCommand::Embed(args) => embed::run(args, printer).await,
        PluginCommand::New(args) => new::run(args, printer),
        PluginCommand::Test(args) => test::run(args, printer).await,
        PluginCommand::List { functions } => list(&door.client()?, *functions, printer).await,
        PluginCommand::Evidence { name } => evidence::run(name, &door.client()?, printer).await,
        PluginCommand::Shadow { name, file } => shadow::shadow(name, file.as_deref(), door, printer).await,
        PluginCommand::Promote { name, anyway } => shadow::promote(name, *anyway, door, printer).await,
        PluginCommand::Drop { name } => shadow::drop_candidate(name, door, printer).await,
        PluginCommand::Reload { name } => {
            let path = match name {
                Some(name) => format!("/v1/admin/plugins/{}/actions/reload", escaped(name)),
                None => "/v1/admin/plugins/actions/reload".to_owned(),
            };
            act(&door.client()?, &path, &json!({}), printer).await
        }
        PluginCommand::Quarantine { name, reason } => {
            let path = format!("/v1/admin/plugins/{}/actions/quarantine", escaped(name));
            act(&door.client()?, &path, &json!({ "reason": reason }), printer).await
        }
        PluginCommand::Release { name } => {
            let path = format!("/v1/admin/plugins/{}/actions/release", escaped(name));
            act(&door.client()?, &path, &json!({}), printer).await
        }
    }
}

async fn list(client: &Client, functions: bool, printer: &Printer) -> Outcome {
    let answer = client.get("/v1/admin/plugins").await?.success()?;
    let shown = if functions { figures::shown(&plugins(&answer)) } else { shown(&answer) };
    printer.say(&shown, &answer);
    Ok(Answer::Yes)
}

/// Yes only if nothing that was asked for ended refused.
async fn act(client: &Client, path: &str, body: &Value, printer: &Printer) -> Outcome {
    let answer = client.post(path, body).await?.success()?;
    printer.say(&shown(&answer), &answer);
    let is_refused = plugins(&answer).iter().any(|plugin| text(plugin, "state") == "rejected");
    Ok(if is_refused { Answer::No } else { Answer::Yes })
}

fn plugins(answer: &Value) -> Vec<&Value> {
    match answer.get("items").and_then(Value::as_array).or_else(|| answer.as_array()) {
        Some(items) => items.iter().collect(),
        None => vec![answer],
    }
}

fn shown(answer: &Value) -> String {
    let plugins = plugins(answer);
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .map(|plugin| {
            let bindings = plugin.get("bindings").and_then(Value::as_array).into_iter().flatten();
            let bindings: Vec<&str> = bindings.filter_map(Value::as_str).collect();
            let digest = text(plugin, "digest").chars().take("sha256:".len() + 12).collect();
            let name = text(plugin, "name").to_owned();
            vec![
                name,
                text(plugin, "version").to_owned(),
                text(plugin, "state").to_owned(),
                text(plugin, "start").split(", because").next().unwrap_or_default().to_owned(),
                digest,
                signed_by(plugin),
                figures::calls(plugin).to_string(),
                figures::broken(plugin).to_string(),
                figures::mebibytes(figures::memory(plugin)),
                bindings.join(", "),
            ]
        })
        .collect();
    let mut shown = if rows.is_empty() {
        "no plugins; drop .wasm files into the plugins' folder".to_owned()
    } else {
        let headings = [
            "NAME",
            "VERSION",
            "STATE",
            "STARTS",
            "DIGEST",
            "SIGNED BY",
            "CALLS",
            "BROKEN",
            "MEMORY",
            "USED AS",
        ];
        table(&headings, &rows)
    };
    for plugin in plugins {
        if let Some((_, reason)) = text(plugin, "start").split_once(", because ") {
            shown.push_str(&format!(
                "\n\n{}: prepared in each instance, because {reason}",
                text(plugin, "name")
            ));
        }
        if let Some(quarantine) = plugin.get("quarantine").filter(|quarantine| quarantine.is_object()) {
            shown.push_str(&format!("\n\n{}: {}", text(plugin, "name"), evidence::quarantine(quarantine)));
            continue;
        }
        let error = text(plugin, "last_error");
        if !error.is_empty() {
            shown.push_str(&format!("\n\n{}: {error}", text(plugin, "name")));
        }
    }
    shown
}

/// The key that signed it, where one of the site's did.
fn signed_by(plugin: &Value) -> String {
    plugin.get("signed_by").and_then(Value::as_str).unwrap_or("-").to_owned()
}

/// The site's limits where there is a site file, the defaults elsewhere: an author has none.
fn limits(door: &DoorArgs) -> RuntimeLimits {
    Config::load(&door.config).map(|config| config.limits.plugins).unwrap_or_default()
}

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::environment(format!("{}: {error}", file.display())))
}

/// What a file is, found out in a process of its own with the site's bounds.
pub(crate) async fn explained(file: &Path, limits: &RuntimeLimits) -> Result<Explanation, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    explain_bytes(bytes, limits).await
}

pub(crate) async fn explain_bytes(bytes: Vec<u8>, limits: &RuntimeLimits) -> Result<Explanation, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(archipel_runtime::explain(&Compiler::Child { exe }, bytes, limits).await)
}

async fn check(file: &Path, door: &DoorArgs, printer: &Printer) -> Outcome {
    let explained = explained(file, &limits(door)).await.map_err(Failure::environment)?;
    let json = serde_json::to_value(&explained).map_err(Failure::environment)?;
    match &explained.problem {
        None => {
            let text =
                format!("{} can be a plugin: it serves {}", file.display(), explained.interfaces.join(", "));
            printer.say(&text, &json);
            Ok(Answer::Yes)
        }
        Some(problem) => {
            printer.say(&format!("{} cannot be a plugin: {problem}", file.display()), &json);
            Ok(Answer::No)
        }
    }
}

/// A path, or a name in the site's folder.
pub(crate) fn file_of(plugin: &str, door: &DoorArgs) -> Result<PathBuf, Failure> {
    let path = Path::new(plugin);
    if path.is_file() || plugin.contains('/') || plugin.ends_with(".wasm") {
        return Ok(path.to_owned());
    }
    let config = Config::load(&door.config)?;
    Ok(config.site.plugin_dir.join(format!("{plugin}.wasm")))
}

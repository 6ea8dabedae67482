//! `plugin shadow`, `plugin promote`, `plugin drop`: a new version beside the one that serves, and what becomes of it. All
//! three are files and lines of the site file; a site that serves is asked to read them again, and asked what it saw.

use std::path::{Path, PathBuf};

use archipel_client::Client;
use serde_json::{Value, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::cli::DoorArgs;
use crate::commands::order::{escaped, text};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer};

/// Beside the plugin, in its folder.
struct Places {
    candidate: String,
    file: PathBuf,
    serving: PathBuf,
}

impl Places {
    fn of(name: &str, config: &Config) -> Self {
        let known = config.runtime.shadow.iter().find(|shadow| shadow.plugin == name);
        let candidate = known.map_or_else(|| format!("{name}-next"), |shadow| shadow.candidate.clone());
        let file = |name: &str| config.site.plugin_dir.join(format!("{name}.wasm"));
        Self { file: file(&candidate), serving: file(name), candidate }
    }

    /// Takes the candidate away, with its signature.
    fn remove(&self) -> Result<(), Failure> {
        if signature(&self.file).is_file() {
            std::fs::remove_file(signature(&self.file))?;
        }
        Ok(std::fs::remove_file(&self.file)?)
    }
}

/// Where the signature of a component lies.
fn signature(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// With a file: puts it beside the plugin. Without: tells what came of it.
pub(super) async fn shadow(name: &str, file: Option<&Path>, door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = Config::load(&door.config)?;
    let places = Places::of(name, &config);
    let Some(file) = file else {
        let status = status(&places.candidate, &door.client()?).await?;
        printer.say(&told(name, &status), &status);
        return Ok(Answer::Yes);
    };
    let bytes =
        std::fs::read(file).map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
    let explained =
        super::explain_bytes(bytes.clone(), &config.limits.plugins).await.map_err(Failure::environment)?;
    if let Some(problem) = &explained.problem {
        printer
            .say(&format!("{} cannot be a plugin: {problem}", file.display()), &json!({"problem": problem}));
        return Ok(Answer::No);
    }
    let before = std::fs::read_to_string(&config.file)?;
    let beside = config.site.plugin_dir.join(format!(".{}.part", places.candidate));
    std::fs::write(&beside, &bytes)?;
    // Its signature first, so that it is never seen without.
    if signature(file).is_file() {
        std::fs::copy(signature(file), signature(&places.file))?;
    }
    std::fs::rename(&beside, &places.file)?;
    // It must have been read before a site file that names it can be taken.
    reload(door).await?;
    edit(&config, |all| {
        if !all.iter().any(|shadow| shadow.get("plugin").and_then(Item::as_str) == Some(name)) {
            let mut table = Table::new();
            table.insert("plugin", value(name));
            table.insert("candidate", value(&places.candidate));
            all.push(table);
        }
    })?;
    if let Err(refused) = reload(door).await {
        // As it was: a candidate that cannot be admitted is no reason for a site file that cannot be taken.
        write(&config, &before)?;
        places.remove()?;
        return Err(refused);
    }
    let text = format!(
        "{} stands in the shadow of {name}; `archipel plugin shadow {name}` tells what it says",
        places.candidate
    );
    printer.say(&text, &json!({"plugin": name, "candidate": places.candidate, "digest": explained.digest}));
    Ok(Answer::Yes)
}

/// Puts the candidate in the plugin's place. No where it said something else, unless that is wanted.
pub(super) async fn promote(name: &str, anyway: bool, door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = Config::load(&door.config)?;
    let places = standing(name, &config)?;
    if !anyway {
        let status = status(&places.candidate, &door.client()?).await?;
        let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or_default();
        if number("agreed") == 0 || number("differed") > 0 || number("failed") > 0 {
            let text =
                format!("{}\n\nit is not promoted; --anyway does it all the same", told(name, &status));
            printer.say(&text, &status);
            return Ok(Answer::No);
        }
    }
    // The version that served stays at hand, under a name that is no plugin's.
    let kept = config.site.plugin_dir.join(format!(".{name}.before"));
    std::fs::copy(&places.serving, &kept)?;
    if signature(&places.file).is_file() {
        std::fs::rename(signature(&places.file), signature(&places.serving))?;
    } else if signature(&places.serving).is_file() {
        // That of the version before vouches for nothing here.
        std::fs::remove_file(signature(&places.serving))?;
    }
    std::fs::rename(&places.file, &places.serving)?;
    forget(name, &config)?;
    reload(door).await?;
    let text = format!("{name} is the new version now; the one before is kept in {}", kept.display());
    printer.say(&text, &json!({"plugin": name, "before": kept}));
    Ok(Answer::Yes)
}

/// Takes the candidate away.
pub(super) async fn drop_candidate(name: &str, door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = Config::load(&door.config)?;
    let places = standing(name, &config)?;
    forget(name, &config)?;
    reload(door).await?;
    places.remove()?;
    printer.say(&format!("nothing stands in the shadow of {name} any more"), &json!({"plugin": name}));
    Ok(Answer::Yes)
}

fn standing(name: &str, config: &Config) -> Result<Places, Failure> {
    match config.runtime.shadow.iter().any(|shadow| shadow.plugin == name) {
        true => Ok(Places::of(name, config)),
        false => Err(Failure::environment(format!(
            "nothing stands in the shadow of {name}; archipel plugin shadow {name} FILE puts a version there"
        ))),
    }
}

async fn status(candidate: &str, client: &Client) -> Result<Value, Failure> {
    let answer = client.get(&format!("/v1/admin/plugins/{}", escaped(candidate))).await?.success()?;
    match answer.get("shadow") {
        Some(shadow) if shadow.is_object() => Ok(shadow.clone()),
        _ => Err(Failure::environment(format!(
            "{candidate} does not stand in a shadow: {}",
            text(&answer, "last_error")
        ))),
    }
}

fn told(name: &str, status: &Value) -> String {
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or_default();
    let mut out = format!(
        "beside {name}: {} calls agreed, {} differed, {} failed, {} were not asked",
        number("agreed"),
        number("differed"),
        number("failed"),
        number("skipped")
    );
    for difference in status.get("differences").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!(
            "\n\n{} {} ({})\n  serves     {}\n  candidate  {}",
            text(difference, "at"),
            text(difference, "function"),
            text(difference, "about"),
            text(difference, "served"),
            text(difference, "candidate")
        ));
    }
    out
}

/// A site that does not serve reads it when it starts.
async fn reload(door: &DoorArgs) -> Result<(), Failure> {
    match door.client()?.post("/v1/admin/plugins/actions/reload", &json!({})).await {
        Ok(answer) => answer.success().map(drop).map_err(Failure::from),
        Err(archipel_client::ClientError::NoAnswer { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn forget(name: &str, config: &Config) -> Result<(), Failure> {
    edit(config, |all| all.retain(|shadow| shadow.get("plugin").and_then(Item::as_str) != Some(name)))
}

/// Changes `[[shadow]]` of the site file; everything else stays as it is written.
fn edit(config: &Config, change: impl FnOnce(&mut ArrayOfTables)) -> Result<(), Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::environment(format!("{}: {error}", config.file.display()));
    let text = std::fs::read_to_string(&config.file).map_err(|error| wrong(&error))?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| wrong(&error))?;
    let shadows = document.entry("shadow").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let all = shadows
        .as_array_of_tables_mut()
        .ok_or_else(|| wrong(&"shadow is not written as [[shadow]]; change it by hand"))?;
    change(all);
    if all.is_empty() {
        document.remove("shadow");
    }
    write(config, &document.to_string())
}

/// Beside the site file and renamed, so that it is never half there.
fn write(config: &Config, text: &str) -> Result<(), Failure> {
    let beside = config.file.with_extension("toml.new");
    let mode = std::fs::metadata(&config.file)?.permissions();
    std::fs::write(&beside, text)?;
    std::fs::set_permissions(&beside, mode)?;
    Ok(std::fs::rename(&beside, &config.file)?)
}

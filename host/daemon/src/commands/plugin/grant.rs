//! `plugin grant`: what a plugin asks for, in words, and the lines of the site file that give it.
//!
//! Everything it asks for is added to what the grant has already. Where a secret may go is never guessed: that is the
//! administrator's to write.

use std::fmt::Write as _;

use archipel_runtime::grants::{Ability, ByteSize, EffectiveGrants, GrantConfig, Missing, Pin, SigningGrant};
use archipel_runtime::{Explanation, RuntimeConfig};
use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, value};

use crate::cli::{DoorArgs, Format};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer};

/// How long a token of a newly granted purpose may live.
const LIFETIME_S: u32 = 12 * 3600;

pub(super) async fn run(
    name: &str,
    write: bool,
    accept: bool,
    door: &DoorArgs,
    printer: &Printer,
) -> Outcome {
    let config = Config::load(&door.config)?;
    let explained = super::explained(&super::file_of(name, door)?, &config.limits.plugins)
        .await
        .map_err(Failure::environment)?;
    let Some(manifest) = &explained.manifest else {
        return Err(Failure::environment(format!(
            "{name} says not what it asks for: {}",
            explained.problem.as_deref().unwrap_or("it has no manifest")
        )));
    };
    let before = config.runtime.grants.get(name).cloned().unwrap_or_default();
    let mut after = before.clone();
    let mut open = Missing::default();
    let configurations = configurations(name, &config.runtime);
    for binding in &configurations {
        let missing = EffectiveGrants::missing(&manifest.capabilities, &after, binding);
        open.secrets.extend(
            missing
                .secrets
                .iter()
                .filter(|secret| !open.secrets.contains(secret))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let unseen: Vec<String> =
            missing.reveal.iter().filter(|secret| !open.reveal.contains(secret)).cloned().collect();
        open.reveal.extend(unseen);
        open.unset.extend(
            missing.unset.iter().filter(|unset| !open.unset.contains(unset)).cloned().collect::<Vec<_>>(),
        );
        give(&mut after, missing);
    }
    // A grant that holds secrets or a purpose is for these bytes alone.
    let listed = accept || after.effective_pin() == Pin::Digest;
    if listed && !after.lists(&explained.digest) {
        after.accept.push(explained.digest.clone());
    }
    let lines = Lines { name, before: &before, after: &after };
    let asked = serde_json::to_value(&manifest.capabilities).map_err(Failure::environment)?;
    let mut text = meaning(name, &explained, &manifest.capabilities.abilities(&configurations), &after);
    let is_new = after != before;
    let mut written = false;
    if is_new && write {
        // What it means is on the screen before it is so.
        if printer.format == Format::Text {
            printer.say(&format!("{text}\n"), &Value::Null);
            text.clear();
        }
        lines.write(&config)?;
        written = true;
        let _ = write!(text, "written to {}:\n\n{}", config.file.display(), lines.fresh());
        text.push_str("\na running site takes it with `archipel plugin reload`, or SIGHUP");
    } else if is_new {
        let _ = write!(
            text,
            "\n\nthe lines that give it (--write puts them into {}):\n\n{}",
            config.file.display(),
            lines.fresh()
        );
    } else if open.secrets.is_empty() && open.reveal.is_empty() {
        text.push_str("\n\nall of it is granted already");
    }
    if !open.secrets.is_empty() {
        let only_secrets = Missing { secrets: open.secrets.clone(), ..Missing::default() };
        let _ = write!(
            text,
            "\n\nwhere these secrets may go is yours to say; fill in and add:\n{}",
            only_secrets.as_toml(name, &after)
        );
    }
    for secret in &open.reveal {
        let _ = write!(
            text,
            "\n\nit wants to see the secret {secret} itself; only if that must be, add it to `reveal` of its grant"
        );
    }
    for pointer in &open.unset {
        let _ = write!(text, "\n\nits configuration has no URL at {pointer} yet; set it, then ask again");
    }
    let json = json!({"plugin": name, "digest": explained.digest, "asks_for": asked, "granted": after, "changed": is_new, "written": written,
        "secrets_to_bind": open.secrets});
    printer.say(text.trim_end(), &json);
    // To show it is all that was asked for; to write it is only done when nothing is left for the administrator.
    let is_left = write && !(open.secrets.is_empty() && open.reveal.is_empty() && open.unset.is_empty());
    Ok(if is_left { Answer::No } else { Answer::Yes })
}

/// The configuration of every binding that uses the plugin: which hosts it asks for may depend on it.
pub(super) fn configurations(name: &str, config: &RuntimeConfig) -> Vec<Value> {
    let mut found: Vec<Map<String, Value>> = Vec::new();
    for binding in &config.identity {
        let used = [&binding.plugin, &binding.generator, &binding.identity, &binding.authentication];
        if used.iter().any(|plugin| plugin.as_deref() == Some(name)) {
            found.push(binding.config.clone());
        }
    }
    found.extend(
        config.authorization.iter().filter(|link| link.plugin == name).map(|link| link.config.clone()),
    );
    for cloud in &config.cloud {
        if cloud.driver == name || cloud.interfaces.values().any(|plugin| plugin == name) {
            found.push(cloud.config.clone());
        }
        if cloud.mapper == name {
            found.push(cloud.mapper_config.clone());
        }
    }
    if found.is_empty() {
        found.push(Map::new());
    }
    found.into_iter().map(Value::Object).collect()
}

fn give(grant: &mut GrantConfig, missing: Missing) {
    grant.hosts.extend(missing.hosts);
    grant.storage = missing.storage.map_or(grant.storage, ByteSize);
    grant.crypto.extend(
        missing.crypto.into_iter().map(|purpose| SigningGrant { purpose, lifetime_s_max: LIFETIME_S }),
    );
    grant.folders.extend(missing.folders);
}

/// What granting it means, in the words of the plugin's own reasons; and where its secrets may go.
fn meaning(name: &str, explained: &Explanation, abilities: &[Ability], grant: &GrantConfig) -> String {
    let mut text = format!("{name} ({})", explained.digest);
    for ability in abilities {
        let _ = write!(text, "\n  {ability}");
    }
    if abilities.is_empty() {
        text.push_str("\n  asks for nothing: it only computes on what it is handed");
    }
    for rule in &grant.secrets {
        let _ = write!(
            text,
            "\n  the secret {} goes to {} {}{} as {}, and nowhere else",
            rule.name,
            rule.methods.join(" or "),
            rule.origin,
            rule.path,
            rule.placement
        );
    }
    let _ = write!(
        text,
        "\n  {}",
        match grant.effective_pin() {
            Pin::Capabilities =>
                "any version of it that asks for no more than the one before follows by itself".to_owned(),
            Pin::Digest => "only the versions listed in accept serve; a new one waits for you".to_owned(),
            Pin::Key(id) => format!(
                "every version that key {id} signed and that asks for no more than this follows by itself"
            ),
        }
    );
    text
}

/// The keys of `[grants.NAME]` that change.
struct Lines<'a> {
    name: &'a str,
    before: &'a GrantConfig,
    after: &'a GrantConfig,
}

impl Lines<'_> {
    fn put(&self, table: &mut Table) {
        let (before, after) = (self.before, self.after);
        let texts = |items: &mut dyn Iterator<Item = String>| value(items.collect::<Array>());
        if after.hosts != before.hosts {
            table.insert("hosts", texts(&mut after.hosts.iter().map(ToString::to_string)));
        }
        if after.storage != before.storage {
            table.insert("storage", value(after.storage.to_string()));
        }
        if after.crypto != before.crypto {
            let purposes = after.crypto.iter().map(|given| {
                let mut one = InlineTable::new();
                one.insert("purpose", given.purpose.as_str().into());
                one.insert("lifetime_s_max", i64::from(given.lifetime_s_max).into());
                one
            });
            table.insert("crypto", value(purposes.collect::<Array>()));
        }
        if after.folders != before.folders {
            table.insert("folders", texts(&mut after.folders.iter().cloned()));
        }
        if after.accept != before.accept {
            table.insert("accept", texts(&mut after.accept.iter().cloned()));
        }
    }

    /// As if the file had nothing of it yet.
    fn fresh(&self) -> String {
        let mut document = DocumentMut::new();
        self.put_into(&mut document);
        document.to_string()
    }

    fn put_into(&self, document: &mut DocumentMut) {
        let grants = document.entry("grants").or_insert_with(|| {
            let mut all = Table::new();
            all.set_implicit(true);
            Item::Table(all)
        });
        if let Some(grants) = grants.as_table_like_mut() {
            let grant = grants.entry(self.name).or_insert_with(|| Item::Table(Table::new()));
            match grant {
                Item::Table(table) => self.put(table),
                Item::Value(toml_edit::Value::InlineTable(inline)) => {
                    let mut table = inline.clone().into_table();
                    self.put(&mut table);
                    *inline = table.into_inline_table();
                }
                _ => {}
            }
        }
    }

    /// Into the site file: written beside it and renamed, so that it is never half there.
    fn write(&self, config: &Config) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::environment(format!("{}: {error}", config.file.display()))
        };
        let text = std::fs::read_to_string(&config.file).map_err(|error| wrong(&error))?;
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| wrong(&error))?;
        self.put_into(&mut document);
        let beside = config.file.with_extension("toml.new");
        let mode = std::fs::metadata(&config.file).map_err(|error| wrong(&error))?.permissions();
        std::fs::write(&beside, document.to_string()).map_err(|error| wrong(&error))?;
        std::fs::set_permissions(&beside, mode).map_err(|error| wrong(&error))?;
        std::fs::rename(&beside, &config.file).map_err(|error| wrong(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> GrantConfig {
        let mut grant = GrantConfig::default();
        let missing =
            Missing { storage: Some(4 << 20), crypto: vec!["session".to_owned()], ..Missing::default() };
        give(&mut grant, missing);
        grant
    }

    #[test]
    fn lines_are_added_and_comments_stay() {
        let (before, after) = (GrantConfig::default(), granted());
        let lines = Lines { name: "aaa-local", before: &before, after: &after };
        let mut document: DocumentMut =
            "# top\n[site]\nid = \"a\" # mine\n\n[grants.other]\nstorage = \"1 MiB\"\n".parse().unwrap();
        lines.put_into(&mut document);
        assert_eq!(
            document.to_string(),
            "# top\n[site]\nid = \"a\" # mine\n\n[grants.other]\nstorage = \"1 MiB\"\n\n[grants.aaa-local]\nstorage = \"4 MiB\"\n\
             crypto = [{ purpose = \"session\", lifetime_s_max = 43200 }]\n"
        );
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let (before, after) = (granted(), granted());
        let lines = Lines { name: "p", before: &before, after: &after };
        let mut document: DocumentMut = "[grants.p]\nstorage = \"4 MiB\" # enough\n".parse().unwrap();
        lines.put_into(&mut document);
        assert_eq!(document.to_string(), "[grants.p]\nstorage = \"4 MiB\" # enough\n");
    }

    #[test]
    fn an_inline_grant_stays_inline() {
        let (before, after) =
            (GrantConfig::default(), GrantConfig { storage: ByteSize(1 << 20), ..GrantConfig::default() });
        let lines = Lines { name: "p", before: &before, after: &after };
        let mut document: DocumentMut = "[grants]\np = { folders = [\"x\"] }\n".parse().unwrap();
        lines.put_into(&mut document);
        assert_eq!(document.to_string(), "[grants]\np = { folders = [\"x\"], storage = \"1 MiB\" }\n");
    }
}

//! `archipel secret`: what is sealed, with what, and the change of either. Everything happens here, on files of the site: no
//! secret goes through REST, and no daemon is asked.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use archipel_vault::keyring::{open_from, seal_into, sealed_with};
use archipel_vault::{KeySource, Keyring, Keys, SecretSource};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::{DoorArgs, SecretCommand};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer, table};

/// Bytes of a secret.
const MOST: u64 = 128 * 1024;

pub(crate) fn run(command: &SecretCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = Config::load(&door.config)?;
    match command {
        SecretCommand::List => list(&config, printer),
        SecretCommand::Seal { name } => seal(&config, name, printer),
        SecretCommand::RotateKey => rotate_key(&config, printer),
        SecretCommand::RotateSiteKey { forget } => rotate_site_key(&config, *forget, printer),
    }
}

/// No if one cannot be opened.
fn list(config: &Config, printer: &Printer) -> Outcome {
    let is_sealed = |source: &SecretSource| source.sealed.is_some();
    let keys = config.secrets.values().any(is_sealed).then(|| Keyring::load(&config.vault_key()));
    let keys = keys.transpose().map_err(Failure::environment)?;
    let mut is_whole = true;
    let mut rows = Vec::new();
    let mut items: Vec<Value> = Vec::new();
    for (name, source) in &config.secrets {
        let (from, key) = origin(config, source);
        let opens = match (&source.sealed, &keys) {
            (Some(file), Some(keys)) => open_from(keys, name, &config.base.join(file)).map(drop),
            _ => Ok(()),
        };
        let problem = opens.err().map(|error| error.to_string());
        is_whole &= problem.is_none();
        rows.push(vec![
            name.clone(),
            from.clone(),
            key.clone().unwrap_or_default(),
            problem.clone().unwrap_or_default(),
        ]);
        items.push(json!({"name": name, "from": from, "key": key, "problem": problem}));
    }
    let text = match rows.is_empty() {
        true => "the site file has no [secrets]".to_owned(),
        false => table(&["NAME", "FROM", "SEALED WITH", "PROBLEM"], &rows),
    };
    printer.say(&text, &json!({"items": items, "key": keys.as_ref().map(Keyring::id)}));
    Ok(if is_whole { Answer::Yes } else { Answer::No })
}

/// Where a secret comes from, and the key that sealed it.
fn origin(config: &Config, source: &SecretSource) -> (String, Option<String>) {
    let SecretSource { sealed, file, credential, env, value: _ } = source;
    match (sealed, file, credential, env) {
        (Some(path), ..) => {
            // What is wrong with the file is told when it is opened.
            let key = sealed_with(&config.base.join(path)).ok().flatten();
            (format!("sealed {}", path.display()), key)
        }
        (_, Some(path), ..) => (format!("file {}", path.display()), None),
        (_, _, Some(name), _) => (format!("credential {name}"), None),
        (.., Some(name)) => (format!("variable {name}"), None),
        _ => ("the site file itself".to_owned(), None),
    }
}

fn seal(config: &Config, name: &str, printer: &Printer) -> Outcome {
    let file = config.secrets.get(name).and_then(|source| source.sealed.as_ref()).ok_or_else(|| {
        Failure::environment(format!(
            "{}: there is no place for it; add\n\n[secrets.{name}]\nsealed = \"secrets/{name}.sealed\"",
            config.file.display()
        ))
    })?;
    let bytes = typed(name)?;
    if bytes.is_empty() {
        return Err(Failure::environment("nothing came on standard input; write the secret there"));
    }
    let file = config.base.join(file);
    let keys = Keyring::load_or_create(&config.vault_key()).map_err(Failure::environment)?;
    seal_into(&keys, name, &bytes, &file).map_err(Failure::environment)?;
    printer.say(
        &format!(
            "{name} is sealed in {}; a site that serves takes it with archipel plugin reload",
            file.display()
        ),
        &json!({"name": name, "file": file, "key": keys.id()}),
    );
    Ok(Answer::Yes)
}

/// From standard input, without one final line end.
fn typed(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password(format!("{name}: "))?.into_bytes()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(Failure::environment(format!("a secret has at most {MOST} bytes")));
    }
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn rotate_key(config: &Config, printer: &Printer) -> Outcome {
    let source = config.vault_key();
    let path = match &source {
        KeySource::File(path) => Some(path),
        KeySource::Credential(_) => None,
    };
    let keys = match path {
        Some(path) => Keyring::load(&source).and_then(|keys| match keys.has_older() {
            // One that broke off: its new key is in front already, and some secrets may be sealed with it.
            true => Ok(keys),
            false => Keyring::rotate(path),
        }),
        // Its first line is new already: only the administrator can write it.
        None => Keyring::load(&source),
    };
    let keys = keys.map_err(Failure::environment)?;
    let sealed: Vec<(&String, PathBuf)> = config
        .secrets
        .iter()
        .filter_map(|(name, source)| Some((name, config.base.join(source.sealed.as_ref()?))))
        .collect();
    for (name, file) in &sealed {
        let secret = open_from(&keys, name, file).map_err(Failure::environment)?;
        seal_into(&keys, name, secret.reveal(), file).map_err(Failure::environment)?;
    }
    if let Some(path) = path {
        Keyring::forget_older(path).map_err(Failure::environment)?;
    }
    let names: Vec<&String> = sealed.iter().map(|(name, _)| *name).collect();
    let text = format!("{} secrets are sealed with key {}", names.len(), keys.id());
    let rest = if path.is_some() {
        "; the old key is forgotten"
    } else {
        "; take the old line out of the credential"
    };
    printer.say(&format!("{text}{rest}"), &json!({"key": keys.id(), "secrets": names}));
    Ok(Answer::Yes)
}

fn rotate_site_key(config: &Config, forget: bool, printer: &Printer) -> Outcome {
    let folder = config.site.data_dir.join("keys");
    let text = if forget {
        Keys::forget_older(&folder).map_err(Failure::environment)?;
        "only the newest site key is left; after the next start what older ones signed is good no more"
    } else {
        Keys::rotate(&folder).map_err(Failure::environment)?;
        "there is a new site key; the daemon signs with it from its next start on, and takes what older ones signed until `archipel secret rotate-site-key --forget`"
    };
    printer.say(text, &json!({"forgotten": forget}));
    Ok(Answer::Yes)
}

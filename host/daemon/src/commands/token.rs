//! `archipel token`: logs in and prints a token. Fields that are not given are asked for on the terminal, secret ones
//! without showing them; nothing secret is ever an argument that `ps` would show, except where `--field` is used.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;

use archipel_client::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::TokenArgs;
use crate::output::{Answer, Failure, Outcome, Printer};

#[derive(Debug, Deserialize)]
struct Bindings {
    items: Vec<Binding>,
}

#[derive(Debug, Deserialize)]
struct Binding {
    name: String,
    #[serde(default)]
    login: bool,
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    away: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    label: String,
    secret: bool,
    required: bool,
}

#[derive(Debug, Deserialize)]
struct Challenge {
    binding: String,
    prompt: String,
    fields: Vec<Field>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    interval_s: Option<u64>,
    state: String,
}

pub(crate) async fn run(args: &TokenArgs, client: &Client, printer: &Printer) -> Outcome {
    let known: Bindings = read(client.get("/v1/tokens").await?.success()?)?;
    let binding = choose(known.items, args.binding.as_deref())?;
    if let Some(reason) = &binding.away {
        return Err(Failure::environment(format!("{} cannot log anybody in now: {reason}", binding.name)));
    }
    let mut given: BTreeMap<String, String> = args.fields.iter().cloned().collect();
    given.extend(args.username.clone().map(|name| ("username".to_owned(), name)));
    if let Some(file) = &args.password_file {
        given.insert("password".to_owned(), password(file)?);
    }
    let credentials = fill(&binding.fields, &mut given)?;
    let mut body = json!({"binding": binding.name, "credentials": credentials});
    loop {
        let answer = client.post("/v1/tokens", &body).await?.success()?;
        let Some(challenge) = answer.get("challenge") else {
            let token = answer.get("token").and_then(Value::as_str).unwrap_or_default();
            printer.say(token, &answer);
            return Ok(Answer::Yes);
        };
        let challenge: Challenge = read(challenge.clone())?;
        tell(&challenge);
        if let Some(seconds) = challenge.interval_s.filter(|_| challenge.fields.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        }
        let credentials = fill(&challenge.fields, &mut given)?;
        body = json!({"binding": challenge.binding, "state": challenge.state, "credentials": credentials});
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::environment(format!("an answer that is not understood: {error}")))
}

fn choose(bindings: Vec<Binding>, name: Option<&str>) -> Result<Binding, Failure> {
    let mut able: Vec<Binding> = bindings.into_iter().filter(|binding| binding.login).collect();
    let names = able.iter().map(|binding| binding.name.as_str()).collect::<Vec<_>>().join(", ");
    let index = match (name, able.len()) {
        (_, 0) => {
            return Err(Failure::environment(
                "this site makes no tokens; bring one from your identity provider",
            ));
        }
        (None, 1) => 0,
        (None, _) => return Err(Failure::environment(format!("name the way to log in, one of: {names}"))),
        (Some(name), _) => able.iter().position(|binding| binding.name == name).ok_or_else(|| {
            Failure::environment(format!("{name:?} is no way to log in here; there is: {names}"))
        })?,
    };
    Ok(able.swap_remove(index))
}

/// Takes what is given and asks for the rest.
fn fill(fields: &[Field], given: &mut BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    let mut filled = BTreeMap::new();
    for field in fields {
        let value = match given.remove(&field.name) {
            Some(value) => Some(value),
            None if std::io::stdin().is_terminal() => ask(field)?,
            None if field.required => {
                let how = match field.name.as_str() {
                    "username" => "--username NAME",
                    "password" => "--password-file FILE",
                    _ => "--field NAME=VALUE",
                };
                return Err(Failure::environment(format!("{} is asked for; give it with {how}", field.name)));
            }
            None => None,
        };
        filled.extend(value.map(|value| (field.name.clone(), value)));
    }
    match given.keys().next() {
        Some(name) => {
            let asked = fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::environment(format!("nobody asks for {name}; asked for: {asked}")))
        }
        None => Ok(filled),
    }
}

fn ask(field: &Field) -> Result<Option<String>, Failure> {
    let prompt = format!("{}{}: ", field.label, if field.required { "" } else { " (may be empty)" });
    let value = if field.secret {
        rpassword::prompt_password(prompt)?
    } else {
        let mut out = std::io::stderr().lock();
        write!(out, "{prompt}")?;
        out.flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    Ok(Some(value).filter(|value| field.required || !value.is_empty()))
}

fn tell(challenge: &Challenge) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{}", challenge.prompt);
    if let Some(uri) = &challenge.uri {
        let _ = writeln!(out, "{uri}");
    }
}

/// One final line end is not part of a password: editors add it.
fn password(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(name: &str, login: bool) -> Binding {
        Binding { name: name.to_owned(), login, fields: Vec::new(), away: None }
    }

    #[test]
    fn one_binding_needs_no_name_and_several_do() {
        assert_eq!(choose(vec![binding("a", true), binding("b", false)], None).unwrap().name, "a");
        for (bindings, name, told) in [
            (vec![binding("a", true), binding("b", true)], None, "name the way to log in, one of: a, b"),
            (vec![binding("a", true)], Some("c"), "\"c\" is no way to log in here; there is: a"),
            (
                vec![binding("a", false)],
                None,
                "this site makes no tokens; bring one from your identity provider",
            ),
        ] {
            let Err(Failure::Environment(message)) = choose(bindings, name) else { panic!() };
            assert_eq!(message, told);
        }
    }

    #[test]
    fn what_nobody_asks_for_is_told() {
        let mut given = BTreeMap::from([("pin".to_owned(), "1".to_owned())]);
        let Err(Failure::Environment(message)) = fill(&[], &mut given) else { panic!() };
        assert_eq!(message, "nobody asks for pin; asked for: ");
    }
}

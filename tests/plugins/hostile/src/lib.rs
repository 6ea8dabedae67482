//! For tests: a mapper and an authorization that do the worst a plugin can. The configuration says which:
//! `{"behaviour": "loop"}`; see [`Behaviour`].

use archipel_sdk::prelude::*;
use archipel_sdk::warn;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    behaviour: Behaviour,
    /// Whom to call, for `call`.
    #[serde(default)]
    url: String,
}

/// What to do when asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behaviour {
    /// Never answer.
    Loop,
    /// Panic.
    Trap,
    /// Call itself until the stack ends.
    Recurse,
    /// Take memory without end.
    Memory,
    /// Ask a host that was not granted.
    Call,
    /// Write log lines without end, then answer.
    Flood,
    /// Answer with more than anybody wants to keep.
    Huge,
    /// Behave.
    Nothing,
}

fn misbehave() -> Result<String> {
    let Config { behaviour, url } = config()?;
    match behaviour {
        Behaviour::Loop => loop {
            std::hint::black_box(());
        },
        Behaviour::Trap => unreachable!("as configured"),
        Behaviour::Recurse => Ok(recurse(u64::MAX).to_string()),
        Behaviour::Memory => {
            let mut all = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        Behaviour::Call => {
            http::get(&url).send()?;
            Ok("called".to_owned())
        }
        Behaviour::Flood => {
            for line in 0..20_000 {
                warn!("flood {line}: {}", "x".repeat(1000));
            }
            Ok("flooded".to_owned())
        }
        Behaviour::Huge => Ok("x".repeat(1 << 20)),
        Behaviour::Nothing => Ok("nothing".to_owned()),
    }
}

#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth).wrapping_sub(1)).wrapping_add(depth))
}

struct Hostile;

impl Mapper for Hostile {
    fn map_user(_: &FederationUser, _: &str, _: &Context) -> Result<String> {
        misbehave()
    }

    fn get_token(account: &str, _: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        LocalToken::make(account, None, None, &json!({}))
    }
}

impl Authorization for Hostile {
    fn is_authorized(_: &FederationUser, _: &Resource, _: &Context) -> Result<Decision> {
        misbehave().map(|_| Decision::allow(Reach::Any))
    }
}

archipel_sdk::export! {
    Hostile: Mapper, Authorization;
    manifest = { "config_schema": { "type": "object" } }
}

//! Asks a granted name that leads to an address that is not.

use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Trusts;

impl Attack for Trusts {
    fn attack(config: &Config) -> Result<String> {
        let answer = http::get(&format!("{}/secrets", config.forbidden)).send()?;
        Ok(format!("it answered {}", answer.status()))
    }
}

component!(Trusts);

//! Is sent elsewhere by a granted server, and follows.

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Follows;

impl Attack for Follows {
    fn attack(config: &Config) -> Result<String> {
        let answer = http::get(&format!("{}/redirect", config.granted)).send()?;
        let place = answer.header("location").ok_or_else(|| Error::permanent("no redirect came"))?;
        let answer = http::get(place).send()?;
        Ok(format!("{place} answered {}", answer.status()))
    }
}

component!(Follows);

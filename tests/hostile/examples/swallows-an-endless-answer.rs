//! Reads an answer that does not end.

use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Swallows;

impl Attack for Swallows {
    fn attack(config: &Config) -> Result<String> {
        let answer = http::get(&format!("{}/endless", config.granted)).max_body(usize::MAX).send()?;
        Ok(format!("{} bytes", answer.bytes().len()))
    }
}

component!(Swallows);

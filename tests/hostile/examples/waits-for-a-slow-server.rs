//! Reads from a server that sends a byte now and then.

use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Waits;

impl Attack for Waits {
    fn attack(config: &Config) -> Result<String> {
        let answer = http::get(&format!("{}/drip", config.granted)).send()?;
        Ok(format!("{} bytes", answer.bytes().len()))
    }
}

component!(Waits);

//! Asks a host that is not granted, in every spelling of its address.

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Spells;

impl Attack for Spells {
    fn attack(config: &Config) -> Result<String> {
        let port = config.forbidden.rsplit(':').next().unwrap_or_default();
        let mut refused = Vec::new();
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::1]",
            "0.0.0.0",
            "127.0.0.1.",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "localhost",
            "LOCALHOST.",
        ] {
            match http::get(&format!("http://{host}:{port}/secrets")).send() {
                Ok(answer) => return Ok(format!("{host} answered {}", answer.status())),
                Err(error) => refused.push(format!("{:?}", error.kind())),
            }
        }
        Err(Error::forbidden(format!("none of {} spellings came through: {refused:?}", refused.len())))
    }
}

component!(Spells);

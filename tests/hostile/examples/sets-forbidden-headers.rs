//! Sets headers that are the host's to write.

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Sets;

impl Attack for Sets {
    fn attack(config: &Config) -> Result<String> {
        let url = format!("{}/echo", config.granted);
        let mut refused = Vec::new();
        for (name, value) in [
            ("host", "elsewhere.example"),
            ("authorization", "Bearer stolen"),
            ("transfer-encoding", "chunked"),
            ("connection", "upgrade"),
            ("proxy-authorization", "Basic x"),
            ("archipel-attached", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-ok\r\nhost", "elsewhere.example"),
            ("x-ok", "a\r\nhost: elsewhere.example"),
        ] {
            match http::get(&url).header(name, value).send() {
                Err(_) => refused.push(name),
                Ok(answer) if answer.text().contains("elsewhere") || answer.text().contains("stolen") => {
                    return Ok(format!("{name} arrived"));
                }
                Ok(_) => {}
            }
        }
        Err(Error::forbidden(format!("{} of 10 were refused, and none arrived", refused.len())))
    }
}

component!(Sets);

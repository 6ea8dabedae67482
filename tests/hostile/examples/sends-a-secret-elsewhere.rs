//! Uses a secret where no grant binds it: another path, another method, another header.

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

struct Sends;

impl Attack for Sends {
    fn attack(config: &Config) -> Result<String> {
        let secret = Secret::open("bait")?;
        let url = |path: &str| format!("{}{path}", config.granted);
        let tries = [
            http::get(&url("/echo")).bearer(&secret).send(),
            http::post(&url("/bound")).bearer(&secret).send(),
            http::get(&url("/bound")).secret_header("x-mine", &secret).send(),
            http::get(&url("/bound/../echo")).bearer(&secret).send(),
            http::get(&url("/bound%2f..%2fecho")).bearer(&secret).send(),
        ];
        for (number, answer) in tries.into_iter().enumerate() {
            if let Ok(answer) = answer
                && answer.text().contains("bearer")
            {
                return Ok(format!("try {number} carried it"));
            }
        }
        let echoed = http::get(&url("/bound")).bearer(&secret).send()?;
        match echoed.text().contains("the-bait-of-this-test") {
            true => Ok("its echo showed it".to_owned()),
            false => Err(Error::forbidden("it went where it is bound alone, and its echo was masked")),
        }
    }
}

component!(Sends);

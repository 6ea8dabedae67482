//! Keeps the handle of a secret over the end of its call, and uses it in the next.

use std::cell::RefCell;

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

thread_local! {
    static KEPT: RefCell<Option<Secret>> = const { RefCell::new(None) };
}

struct Keeps;

impl Attack for Keeps {
    fn attack(config: &Config) -> Result<String> {
        KEPT.with_borrow_mut(|kept| match kept {
            None => {
                *kept = Some(Secret::open("bait")?);
                Ok("kept".to_owned())
            }
            Some(secret) => {
                let name = secret.name();
                let answer = http::get(&format!("{}/echo", config.granted)).bearer(&*secret).send();
                match answer {
                    Ok(answer) => Ok(format!("used {name:?}: {}", answer.status())),
                    Err(error) => {
                        Err(Error::new(error.kind(), format!("an old handle: {}", error.message())))
                    }
                }
            }
        })
    }
}

component!(Keeps);

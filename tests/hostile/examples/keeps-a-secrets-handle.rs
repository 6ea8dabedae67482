//! Keeps the handle of a secret over the end of its call, and uses it in the next, where a fresh one would be good.

use std::cell::RefCell;

use archipel_sdk::Error;
use archipel_sdk::prelude::*;
use hostile_corpus::{Attack, Config, component};

thread_local! {
    static KEPT: RefCell<Option<Secret>> = const { RefCell::new(None) };
}

/// A request as the grant lets the secret go.
fn used(config: &Config, secret: &Secret) -> Result<u16> {
    Ok(http::get(&format!("{}/bound", config.granted)).bearer(secret).send()?.status())
}

struct Keeps;

impl Attack for Keeps {
    fn attack(config: &Config) -> Result<String> {
        KEPT.with_borrow_mut(|kept| {
            let Some(old) = kept else {
                let fresh = Secret::open("bait")?;
                let status = used(config, &fresh)?;
                *kept = Some(fresh);
                return Ok(format!("kept, after {status}"));
            };
            let name = old.name();
            match used(config, old) {
                Ok(status) => Ok(format!("the old handle of {name:?} was good: {status}")),
                Err(error) => {
                    let fresh = used(config, &Secret::open("bait")?)?;
                    Err(Error::forbidden(format!(
                        "of name {name:?}, and refused: {}; a fresh one is good: {fresh}",
                        error.message()
                    )))
                }
            }
        })
    }
}

component!(Keeps);

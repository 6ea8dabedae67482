//! Fails with megabytes of text, control characters in it.

use archipel_sdk::Error;
use hostile_corpus::{Attack, Config, component};

struct Tells;

impl Attack for Tells {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        Err(Error::permanent("\u{1b}[31mit was a dark and stormy night\n".repeat(100_000)))
    }
}

component!(Tells);

//! Answers with more than anybody wants to keep.

use hostile_corpus::{Attack, Config, component};

struct Huge;

impl Attack for Huge {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        Ok("x".repeat(5 << 20))
    }
}

component!(Huge);

//! Ends the process.

use hostile_corpus::{Attack, Config, component};

struct Exits;

impl Attack for Exits {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        std::process::exit(0)
    }
}

component!(Exits);

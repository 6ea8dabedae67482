//! Writes to standard output and standard error without end, then answers.

use std::io::Write;

use hostile_corpus::{Attack, Config, component};

struct Floods;

impl Attack for Floods {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        let line = "y".repeat(4000) + "\n";
        for _ in 0..500 {
            // Whether it is taken is not the attacker's concern.
            let _ = std::io::stdout().write_all(line.as_bytes());
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Ok("flooded".to_owned())
    }
}

component!(Floods);

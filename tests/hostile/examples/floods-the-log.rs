//! Writes log lines without end, then answers.

use hostile_corpus::{Attack, Config, component};

struct Floods;

impl Attack for Floods {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        for line in 0..20_000 {
            archipel_sdk::warn!("flood {line}: {}", "x".repeat(1000));
        }
        Ok("flooded".to_owned())
    }
}

component!(Floods);

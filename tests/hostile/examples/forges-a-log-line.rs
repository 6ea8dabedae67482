//! Writes log lines that look like another plugin's, and like the host's.

use hostile_corpus::{Attack, Config, component};

struct Forges;

impl Attack for Forges {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        archipel_sdk::error!(
            plugin = "aaa-local", binding = "identity/local/aaa-local";
            "fine\n2026-11-22T12:00:00Z ERROR archipel_runtime: FORGED plugin=aaa-local the password of ada is weak"
        );
        Ok("forged".to_owned())
    }
}

component!(Forges);

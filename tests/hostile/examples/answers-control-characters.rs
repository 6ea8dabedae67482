//! Answers with what would repaint a terminal.

use hostile_corpus::{Attack, Config, component};

struct Paints;

impl Attack for Paints {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        Ok("\u{1b}[2J\u{1b}]0;owned\u{7}instances\0".to_owned())
    }
}

component!(Paints);

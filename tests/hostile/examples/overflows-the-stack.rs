//! Calls itself until the stack ends.

use hostile_corpus::{Attack, Config, component};

struct Recurses;

#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth).wrapping_sub(1)).wrapping_add(depth))
}

impl Attack for Recurses {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        Ok(recurse(u64::MAX).to_string())
    }
}

component!(Recurses);

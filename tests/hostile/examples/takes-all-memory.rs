//! Takes memory without end, and touches it.

use hostile_corpus::{Attack, Config, component};

struct Memory;

impl Attack for Memory {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        let mut all = Vec::new();
        loop {
            all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}

component!(Memory);

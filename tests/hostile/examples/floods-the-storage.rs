//! Stores more than it may.

use hostile_corpus::{Attack, Config, component};

struct Stores;

impl Attack for Stores {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        for key in 0..10_000 {
            archipel_sdk::storage::set_bytes(&format!("key-{key}"), &[7; 4096])?;
        }
        Ok("stored".to_owned())
    }
}

component!(Stores);

//! Waits inside a host call, where no check of the compiled code looks.

use hostile_corpus::{Attack, Config, component};

struct Sleeps;

impl Attack for Sleeps {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        std::thread::sleep(std::time::Duration::from_secs(3600));
        Ok("awake".to_owned())
    }
}

component!(Sleeps);

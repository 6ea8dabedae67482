//! For tests: a benchmark that orders machines and then does the worst it can, as the configuration says.

use std::time::Duration;

use archipel_sdk::benchmark::{Description, Scenario, broker};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    /// Panic.
    Trap,
    /// Compute for ever: the fuel ends it.
    Loop,
    /// Forget what was ordered.
    Forget,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    ending: Ending,
    /// Whether to order at all.
    #[serde(default)]
    foreign: Option<String>,
}

struct Broken;

impl Scenario for Broken {
    fn describe() -> Description {
        Description::new("orders, and breaks", Duration::from_secs(60))
    }

    fn iterate(_: u32) -> Result<()> {
        let config: Config = config()?;
        if let Some(foreign) = &config.foreign {
            return broker::get(foreign).map(drop);
        }
        let spec = json!({ "image": "@cirros", "vcpu": 1, "ram_mib": 256 });
        let order = broker::create("compute", &spec)?;
        broker::create("compute", &spec)?;
        broker::wait(&order.id, &["fulfilled"], Duration::from_secs(30))?;
        match config.ending {
            Ending::Trap => unreachable!("as configured"),
            Ending::Loop => loop {
                std::hint::black_box(());
            },
            Ending::Forget => Ok(()),
        }
    }
}

archipel_sdk::export! {
    Broken: Scenario;
    manifest = { "config_schema": { "type": "object" } }
}

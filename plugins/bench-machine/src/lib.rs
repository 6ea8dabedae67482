//! Boots a machine and deletes it: how long a user waits for either.
//!
//! ```json
//! { "spec": { "image": "@debian", "vcpu": 1, "ram_mib": 512 }, "patience_s": 300 }
//! ```
//! `spec` is what is ordered, as in the REST API; `patience_s` how long each of the two may take.

use std::time::Duration;

use archipel_sdk::benchmark::{Description, Scenario, Span, broker, metric};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Beside what boot and delete may take, for everything else in an iteration.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    spec: Map<String, Value>,
    patience_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        let spec = json!({ "image": "@debian", "vcpu": 1, "ram_mib": 512 });
        Self { spec: spec.as_object().cloned().unwrap_or_default(), patience_s: 300 }
    }
}

impl Config {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_s)
    }
}

struct BootAndDelete;

impl Scenario for BootAndDelete {
    fn describe() -> Description {
        let patience = config::<Config>().unwrap_or_default().patience();
        Description::new("boots a machine and deletes it", patience.saturating_mul(2).saturating_add(MARGIN))
            .iterations(5)
            .reports(&["boot", "delete", "addresses"])
    }

    fn iterate(iteration: u32) -> Result<()> {
        let config: Config = config()?;
        let mut spec = config.spec.clone();
        spec.entry("name").or_insert_with(|| format!("bench-{iteration}").into());
        let boot = Span::begin("boot");
        let order = broker::create("compute", &spec)?;
        let machine = broker::wait(&order.id, &["fulfilled"], config.patience())?;
        if let Some(instance) = &machine.instance_id {
            boot.attribute("instance", instance);
        }
        boot.end();
        metric("addresses", machine.addresses.len() as f64, "1");
        let gone = Span::begin("delete");
        broker::delete(&order.id)?;
        broker::wait(&order.id, &["closed"], config.patience())?;
        gone.end();
        Ok(())
    }
}

archipel_sdk::export! {
    BootAndDelete: Scenario;
    manifest = {
        "config_schema": {
            "type": "object",
            "properties": {
                "spec": { "type": "object" },
                "patience_s": { "type": "integer", "minimum": 1, "maximum": 3600 },
            },
            "additionalProperties": false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_need_be_configured() {
        let config: Config = archipel_sdk::config::parse("{}").unwrap();
        assert_eq!(config.spec["image"], "@debian");
        assert_eq!(config.patience(), Duration::from_secs(300));
    }
}

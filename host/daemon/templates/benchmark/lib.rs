//! Measures how long a volume takes to be there and to be gone.

use std::time::Duration;

use archipel_sdk::benchmark::{Description, Scenario, Span, broker, metric};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the administrator hands over with `archipel bench run --with`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// GiB of the volume.
    #[serde(default = "one")]
    size_gib: u64,
}

fn one() -> u64 {
    1
}

/// How long each of the two may take.
const PATIENCE: Duration = Duration::from_secs(120);

struct Benchmark;

impl Scenario for Benchmark {
    fn describe() -> Description {
        Description::new("makes a volume and deletes it", PATIENCE * 3)
            .iterations(5)
            .reports(&["create", "delete", "size"])
    }

    fn iterate(iteration: u32) -> Result<()> {
        let config: Config = config()?;
        // As in the REST API, without `cloud`: that is the run's.
        let spec = spec(&config, iteration);
        let create = Span::begin("create");
        let order = broker::create("volume", &spec)?;
        broker::wait(&order.id, &["fulfilled"], PATIENCE)?;
        create.end();
        metric("size", config.size_gib as f64, "GiB");

        // What an iteration leaves behind when it fails, the host deletes.
        let delete = Span::begin("delete");
        broker::delete(&order.id)?;
        broker::wait(&order.id, &["closed"], PATIENCE)?;
        delete.end();
        Ok(())
    }
}

fn spec(config: &Config, iteration: u32) -> Map<String, Value> {
    let spec = json!({ "name": format!("bench-{iteration}"), "size_gib": config.size_gib });
    spec.as_object().cloned().unwrap_or_default()
}

archipel_sdk::export! {
    Benchmark: Scenario;
    manifest = {
        "config_schema": {
            "type": "object",
            "properties": { "size_gib": { "type": "integer", "minimum": 1 } },
            "additionalProperties": false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_the_size_that_is_configured() {
        let config: Config = archipel_sdk::config::parse(r#"{"size_gib": 7}"#).unwrap();
        assert_eq!(spec(&config, 3)["size_gib"], 7);
        assert_eq!(spec(&config, 3)["name"], "bench-3");
    }
}

//! The configuration of one emulated cloud. Every value has a default, so `{}` is a working cloud.
//!
//! Its JSON Schema, which says what each value means, is `config.schema.json`; a test keeps the two in step.

use crate::catalogue::{Image, Network, Size};
use crate::faults::Rule;
use crate::naming::{Kind, mix};
use serde::Deserialize;

/// The upper bound of `visibility_ms`. The manifest is static and promises that what was created is found within
/// `settle_ms` = 2000, so late visibility must end before that.
#[cfg(test)]
pub(crate) const MOST_VISIBILITY_MS: u64 = 1500;

/// See the schema for what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) latency_ms: u64,
    pub(crate) boot_ms: ByKind,
    pub(crate) delete_ms: ByKind,
    pub(crate) power_ms: u64,
    pub(crate) visibility_ms: u64,
    pub(crate) hang_ms: u64,
    pub(crate) capacity: Capacity,
    pub(crate) specs: Vec<Size>,
    pub(crate) images: Vec<Image>,
    pub(crate) networks: Vec<Network>,
    pub(crate) zones: Vec<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) faults: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            latency_ms: 10,
            boot_ms: ByKind::Each(Times { compute: 1500, volume: 400, network: 200, attachment: 300 }),
            delete_ms: ByKind::Each(Times { compute: 500, volume: 200, network: 100, attachment: 200 }),
            power_ms: 300,
            visibility_ms: 0,
            hang_ms: 60_000,
            capacity: Capacity::default(),
            specs: crate::catalogue::default_sizes(),
            images: crate::catalogue::default_images(),
            networks: crate::catalogue::default_networks(),
            zones: vec!["zone-1".to_owned()],
            seed: None,
            faults: Vec::new(),
        }
    }
}

/// Milliseconds, the same for all kinds or for each its own.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum ByKind {
    /// For all.
    Same(u64),
    /// What is left out is 0.
    Each(Times),
}

/// Milliseconds of each kind.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Times {
    compute: u64,
    volume: u64,
    network: u64,
    attachment: u64,
}

impl ByKind {
    fn of(self, kind: Kind) -> u64 {
        match (self, kind) {
            (ByKind::Same(ms), _) => ms,
            (ByKind::Each(times), Kind::Compute) => times.compute,
            (ByKind::Each(times), Kind::Volume) => times.volume,
            (ByKind::Each(times), Kind::Network) => times.network,
            (ByKind::Each(times), Kind::Attachment) => times.attachment,
        }
    }

    /// The time that the instance `id` takes: a quarter more or less than configured, always the same for one id.
    pub(crate) fn jittered(self, kind: Kind, id: &str) -> u64 {
        let ms = self.of(kind);
        let spread = ms / 2;
        if spread == 0 { ms } else { ms - spread / 2 + mix(id) % (spread + 1) }
    }
}

/// What one account may use at most.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Capacity {
    pub(crate) instances: u64,
    pub(crate) vcpu: u64,
    pub(crate) ram_mib: u64,
    pub(crate) disk_gib: u64,
    pub(crate) volumes: u64,
    pub(crate) networks: u64,
}

impl Default for Capacity {
    /// Room for 10,000 small machines and as many volumes.
    fn default() -> Self {
        Capacity {
            instances: 10_000,
            vcpu: 40_000,
            ram_mib: 160_000_000,
            disk_gib: 2_000_000,
            volumes: 20_000,
            networks: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> serde_json::Value {
        serde_json::from_str(include_str!("config.schema.json")).unwrap()
    }

    #[test]
    fn an_empty_configuration_is_a_working_cloud() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert!(!config.specs.is_empty() && !config.images.is_empty() && !config.networks.is_empty());
    }

    #[test]
    fn schema_and_type_know_the_same_settings() {
        let schema = schema();
        let known = schema["properties"].as_object().unwrap();
        let wrong = serde_json::from_str::<Config>(r#"{"no_such_setting": 1}"#).unwrap_err().to_string();
        let listed = wrong.split("expected one of").nth(1).unwrap();
        for name in known.keys() {
            assert!(listed.contains(&format!("`{name}`")), "{name} is in the schema only");
        }
        assert_eq!(listed.matches('`').count(), known.len() * 2, "{listed}");
    }

    #[test]
    fn the_schemas_example_parses_and_late_visibility_ends_before_settle() {
        let schema = schema();
        let example: Config = serde_json::from_value(schema["examples"][0].clone()).unwrap();
        assert_eq!(example.faults.len(), 3);
        assert_eq!(schema["properties"]["visibility_ms"]["maximum"], MOST_VISIBILITY_MS);
    }

    #[test]
    fn jitter_stays_within_a_quarter_and_is_the_same_for_one_id() {
        let boot = ByKind::Same(1000);
        for n in 0..200 {
            let id = format!("vm-{n}");
            let ms = boot.jittered(Kind::Compute, &id);
            assert!((750..=1250).contains(&ms), "{ms}");
            assert_eq!(ms, boot.jittered(Kind::Compute, &id));
        }
        assert_eq!(ByKind::Same(0).jittered(Kind::Compute, "vm-1"), 0);
    }
}

//! The configuration of one OpenStack cloud. Every value has a default: `{}` drives a cloud whose mapper tells the rest.
//!
//! Its JSON Schema, which says what each value means, is `config.schema.json`; a test keeps the two in step.

use crate::wire::Service;
use serde::Deserialize;
use std::collections::BTreeMap;

/// See the schema for what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) site: Option<String>,
    pub(crate) endpoints: BTreeMap<Service, String>,
    pub(crate) default_network: Option<String>,
    pub(crate) images: BTreeMap<String, String>,
    pub(crate) page_size: u32,
    pub(crate) cache_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            site: None,
            endpoints: BTreeMap::new(),
            default_network: None,
            images: BTreeMap::new(),
            page_size: 500,
            cache_s: 60,
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
    fn the_schemas_example_and_defaults_are_those_of_the_type() {
        let schema = schema();
        let example: Config = serde_json::from_value(schema["examples"][0].clone()).unwrap();
        assert_eq!(example.endpoints[&Service::Compute], "https://nova.example.org/v2.1");
        let default = Config::default();
        assert_eq!(schema["properties"]["page_size"]["default"], default.page_size);
        assert_eq!(schema["properties"]["cache_s"]["default"], default.cache_s);
    }
}

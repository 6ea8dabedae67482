//! The parts of the site file that say which plugin does what. The daemon embeds these structs in its own.
//!
//! Nothing here is trusted further than its types: names are checked by [`RuntimeConfig::check`], plugin
//! configurations by each plugin's JSON Schema at admission.

use std::collections::{BTreeMap, BTreeSet};

use archipel_model::CloudName;
use archipel_model::site::{CloudState, SweepPolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::grants::GrantConfig;
pub use crate::limits::RuntimeLimits;
pub use crate::signatures::SignaturePolicy;

/// A plugin's own configuration: the TOML table `config` as JSON.
pub type PluginConfig = Map<String, Value>;

/// Everything that a generation is built from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// `[[identity]]`.
    pub identity: Vec<IdentityConfig>,
    /// `[[authorization]]`: a chain in order; all must allow.
    pub authorization: Vec<AuthorizationConfig>,
    /// `[[cloud]]`.
    pub cloud: Vec<CloudConfig>,
    /// `[[shadow]]`: new versions that answer beside those that serve.
    pub shadow: Vec<ShadowConfig>,
    /// `[grants.NAME]`, by plugin.
    pub grants: BTreeMap<String, GrantConfig>,
    /// `[signatures]`: whose plugins must be signed, and by whom.
    pub signatures: SignaturePolicy,
    /// `[limits]`.
    pub limits: RuntimeLimits,
}

/// `[[identity]]`: how users of one kind are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// Its name.
    pub name: String,
    /// The plugin that does all three; each may be named apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Makes tokens; `plugin` if left out and if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// Reads tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Judges them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<String>,
    /// The only issuers that it may speak for.
    pub issuers: Vec<String>,
    /// Handed to each of its plugins.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: PluginConfig,
}

impl IdentityConfig {
    /// The plugin that reads tokens.
    pub fn identity_plugin(&self) -> Option<&str> {
        self.identity.as_deref().or(self.plugin.as_deref())
    }

    /// The plugin that judges them.
    pub fn authentication_plugin(&self) -> Option<&str> {
        self.authentication.as_deref().or(self.plugin.as_deref())
    }

    /// The plugin that makes them. One that is not named apart need not be able to.
    pub fn generator_plugin(&self) -> Option<&str> {
        self.generator.as_deref().or(self.plugin.as_deref())
    }
}

/// `[[authorization]]`: one link of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationConfig {
    /// The plugin.
    pub plugin: String,
    /// Handed to it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: PluginConfig,
}

/// `[[cloud]]`: one cloud with the plugins that drive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// Its name.
    pub name: CloudName,
    /// The plugin that drives it.
    pub driver: String,
    /// The plugin that maps users to its accounts.
    pub mapper: String,
    /// Handed to the mapper.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub mapper_config: PluginConfig,
    /// Region, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Calls at a time.
    #[serde(default = "sixteen")]
    pub concurrency: usize,
    /// Whether it takes work.
    #[serde(default)]
    pub state: CloudState,
    /// How its instances are compared with orders, and what is done about those that no order has.
    #[serde(default)]
    pub sweep: SweepPolicy,
    /// Handed to the driver.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: PluginConfig,
    /// Interfaces that another plugin serves, e.g. `{ quota = "other-plugin" }`; it is handed the same `config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<CloudInterface, String>,
}

/// `[[shadow]]`: a new version of a plugin that is asked beside it, and not heard. It is handed the same configuration, and
/// the grant of the plugin whose place it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowConfig {
    /// The plugin that serves.
    pub plugin: String,
    /// The new version, as a plugin of its own in the folder.
    pub candidate: String,
}

const fn sixteen() -> usize {
    16
}

/// The interfaces of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudInterface {
    /// Virtual machines.
    Compute,
    /// Their power.
    ComputePower,
    /// Block storage.
    Volume,
    /// Networks.
    Network,
    /// Volumes on computes.
    Attachment,
    /// What an account may still use.
    Quota,
    /// Sizes of machines.
    Spec,
    /// Images.
    Image,
}

impl CloudInterface {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Compute,
        Self::ComputePower,
        Self::Volume,
        Self::Network,
        Self::Attachment,
        Self::Quota,
        Self::Spec,
        Self::Image,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::ComputePower => "compute-power",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Attachment => "attachment",
            Self::Quota => "quota",
            Self::Spec => "spec",
            Self::Image => "image",
        }
    }
}

/// Whether a plugin's name is one: `[a-z][a-z0-9-]{0,62}`.
pub fn is_plugin_name(name: &str) -> bool {
    let mut letters = name.bytes();
    name.len() <= 63
        && letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || next == b'-')
}

impl RuntimeConfig {
    /// Checks what serde cannot: names, doubles, and numbers that make no sense together.
    ///
    /// # Errors
    /// Every problem, each as `where: what, and what to do`.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for binding in &self.identity {
            let place = format!("identity {:?}", binding.name);
            if !is_plugin_name(&binding.name) {
                problems.push(format!(
                    "{place}: not a name; write lower-case letters, digits and hyphens, a letter first"
                ));
            }
            if !seen.insert(("identity", binding.name.clone())) {
                problems.push(format!("{place}: there are two of this name; rename one"));
            }
            if binding.identity_plugin().is_none() {
                problems.push(format!("{place}: no plugin reads its tokens; set plugin or identity"));
            }
            if binding.authentication_plugin().is_none() {
                problems.push(format!("{place}: no plugin judges its tokens; set plugin or authentication"));
            }
            if binding.issuers.is_empty() {
                problems.push(format!("{place}: issuers is empty; list the issuers that it may speak for"));
            }
            for plugin in [&binding.plugin, &binding.generator, &binding.identity, &binding.authentication] {
                check_plugin(&place, plugin.as_deref(), &mut problems);
            }
        }
        for link in &self.authorization {
            let place = format!("authorization {:?}", link.plugin);
            check_plugin(&place, Some(&link.plugin), &mut problems);
            if !seen.insert(("authorization", link.plugin.clone())) {
                problems.push(format!("{place}: the chain has it twice; remove one"));
            }
        }
        for cloud in &self.cloud {
            let place = format!("cloud {:?}", cloud.name.as_str());
            if !seen.insert(("cloud", cloud.name.to_string())) {
                problems.push(format!("{place}: there are two of this name; rename one"));
            }
            if cloud.concurrency == 0 {
                problems
                    .push(format!("{place}: concurrency is 0; write at least 1, or state = \"maintenance\""));
            }
            for plugin in [&cloud.driver, &cloud.mapper].into_iter().chain(cloud.interfaces.values()) {
                check_plugin(&place, Some(plugin), &mut problems);
            }
        }
        self.check_shadows(&mut problems);
        for name in self.grants.keys() {
            check_plugin("grants", Some(name), &mut problems);
        }
        problems.extend(self.signatures.check());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl RuntimeConfig {
    fn check_shadows(&self, problems: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for shadow in &self.shadow {
            let place = format!("shadow {:?}", shadow.plugin);
            check_plugin(&place, Some(&shadow.candidate), problems);
            if !seen.insert(&shadow.plugin) {
                problems.push(format!("{place}: it has two candidates; remove one"));
            }
            if !self.serves(&shadow.plugin) {
                problems.push(format!(
                    "{place}: no authorization, mapper or driver of this site is so named; a candidate needs one to stand beside"
                ));
            }
            if self.serves(&shadow.candidate)
                || self.shadow.iter().any(|other| other.plugin == shadow.candidate)
            {
                problems.push(format!(
                    "{place}: its candidate {:?} serves already; name a file of its own",
                    shadow.candidate
                ));
            }
        }
    }

    /// Whether a plugin has a place that a candidate could take.
    fn serves(&self, plugin: &str) -> bool {
        self.authorization.iter().any(|link| link.plugin == plugin)
            || self.cloud.iter().any(|cloud| {
                cloud.mapper == plugin
                    || cloud.driver == plugin
                    || cloud.interfaces.values().any(|other| other == plugin)
            })
    }

    /// The plugin in whose shadow a candidate stands.
    pub(crate) fn shadow_of(&self, candidate: &str) -> Option<&str> {
        self.shadow.iter().find(|shadow| shadow.candidate == candidate).map(|shadow| shadow.plugin.as_str())
    }

    /// The new version that stands in a plugin's shadow.
    pub(crate) fn candidate_of(&self, plugin: &str) -> Option<&str> {
        self.shadow.iter().find(|shadow| shadow.plugin == plugin).map(|shadow| shadow.candidate.as_str())
    }

    /// What a plugin of this name was granted: a candidate what the plugin was whose place it may take.
    pub(crate) fn grant_of(&self, plugin: &str) -> GrantConfig {
        self.grants.get(self.shadow_of(plugin).unwrap_or(plugin)).cloned().unwrap_or_default()
    }
}

fn check_plugin(place: &str, name: Option<&str>, problems: &mut Vec<String>) {
    if let Some(name) = name.filter(|name| !is_plugin_name(name)) {
        problems.push(format!(
            "{place}: {name:?} is not a plugin's name; write the file's name without .wasm: lower-case letters, digits and hyphens"
        ));
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::site::UnknownInstances;

    use super::*;

    const SITE: &str = r#"
        [[identity]]
        name = "local"
        plugin = "aaa-local"
        issuers = ["https://site-a.example.org"]
        config = { users = [] }
        [[authorization]]
        plugin = "authz-roles"
        [[cloud]]
        name = "emulated"
        driver = "cloud-emulated"
        mapper = "mapper-all-to-one"
        mapper_config = { account = "one" }
        interfaces = { quota = "other" }
        sweep = { unknown = "delete" }
        [limits]
        memory_mib = 32
    "#;

    #[test]
    fn the_site_file_of_the_design_is_read() {
        let config: RuntimeConfig = toml::from_str(SITE).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.cloud[0].concurrency, 16);
        assert_eq!(config.cloud[0].sweep, SweepPolicy { unknown: UnknownInstances::Delete, every_s: 21_600 });
        assert_eq!(config.limits.memory_mib, 32);
        assert_eq!(config.identity[0].generator_plugin(), Some("aaa-local"));
    }

    #[test]
    fn a_candidate_stands_beside_a_plugin_that_serves_and_has_its_grant() {
        let with = |shadow: &str| {
            let config: RuntimeConfig = toml::from_str(&format!("{SITE}{shadow}")).unwrap();
            (config.check().err().unwrap_or_default().len(), config)
        };
        let (problems, config) = with(
            "[[shadow]]\nplugin = \"authz-roles\"\ncandidate = \"authz-next\"\n[grants.authz-roles]\nstorage = \"1 MiB\"\n",
        );
        assert_eq!(problems, 0);
        assert_eq!(config.grant_of("authz-next"), config.grant_of("authz-roles"));
        assert_eq!(
            (config.candidate_of("authz-roles"), config.shadow_of("authz-roles")),
            (Some("authz-next"), None)
        );
        for wrong in [
            "[[shadow]]\nplugin = \"aaa-local\"\ncandidate = \"next\"",
            "[[shadow]]\nplugin = \"authz-roles\"\ncandidate = \"cloud-emulated\"",
            "[[shadow]]\nplugin = \"authz-roles\"\ncandidate = \"../x\"",
            "[[shadow]]\nplugin = \"authz-roles\"\ncandidate = \"a\"\n[[shadow]]\nplugin = \"authz-roles\"\ncandidate = \"b\"",
        ] {
            assert_eq!(with(wrong).0, 1, "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        for (good, bad) in
            [("driver =", "drivers ="), ("quota =", "quotas ="), ("issuers", "issuer"), ("memory_mib", "mem")]
        {
            assert!(toml::from_str::<RuntimeConfig>(&SITE.replace(good, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn doubles_and_bad_names_are_all_told_at_once() {
        let mut config: RuntimeConfig = toml::from_str(SITE).unwrap();
        config.cloud.push(config.cloud[0].clone());
        config.authorization[0].plugin = "../authz".to_owned();
        config.identity[0].issuers.clear();
        let problems = config.check().unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}

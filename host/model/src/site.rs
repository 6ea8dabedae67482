//! The site as one immutable generation. A request or a scheduler step takes one and keeps it, so that versions of
//! plugins, configuration and policies never mix within it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::Decider;
use crate::order::Kind;
use crate::plugin::{
    Authentication, Authorization, FederationIdentity, ImageDriver, InstanceDriver, Mapper, NetworkLister,
    PowerDriver, QuotaDriver, SpecDriver, TokenGenerator,
};
use crate::power::PowerAction;
use crate::{CloudName, Error, SiteId};

/// How users of one kind are known.
pub struct IdentityBinding {
    /// Its name in the site file.
    pub name: String,
    /// The only issuers it may speak for.
    pub issuers: Vec<String>,
    /// Makes tokens; `None` where users come with tokens made elsewhere.
    pub generator: Option<Arc<dyn TokenGenerator>>,
    /// Reads tokens.
    pub identity: Arc<dyn FederationIdentity>,
    /// Judges them.
    pub authentication: Arc<dyn Authentication>,
    /// Digests of plugins and configuration: caches are keyed by it.
    pub digest: String,
}

/// One link of the authorization chain.
pub struct AuthorizationBinding {
    /// The plugin's name.
    pub name: String,
    /// The plugin.
    pub plugin: Arc<dyn Authorization>,
    /// SHA-256 of the component, in hex; empty where it is away.
    pub component: String,
    /// Digest of plugin, configuration and grants.
    pub digest: String,
}

impl AuthorizationBinding {
    /// As the audit names it.
    pub fn decider(&self) -> Decider {
        Decider { plugin: self.name.clone(), digest: self.component.clone(), policy: self.digest.clone() }
    }
}

/// Whether a cloud takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloudState {
    /// Yes.
    #[default]
    Active,
    /// No new orders; existing ones are served.
    Draining,
    /// Creates wait.
    Maintenance,
}

/// What a sweep does about instances that carry this site's tag and that no order has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownInstances {
    /// Lists them for the administrator.
    #[default]
    Report,
    /// Deletes them too, unless the store was restored and nobody has confirmed it.
    Delete,
}

/// `sweep` of a `[[cloud]]`: how its tagged instances are compared with orders.
///
/// ```
/// let policy: archipel_model::site::SweepPolicy = serde_json::from_str(r#"{"unknown": "delete"}"#).unwrap();
/// assert_eq!(policy.every_s, 21_600);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepPolicy {
    /// Seconds between two sweeps (21,600: six hours); 0 = only when an administrator asks.
    pub every_s: u64,
    /// `report` or `delete`.
    pub unknown: UnknownInstances,
}

impl Default for SweepPolicy {
    fn default() -> Self {
        Self { every_s: 21_600, unknown: UnknownInstances::Report }
    }
}

/// One cloud with the plugins that drive it.
pub struct CloudBinding {
    /// Its name.
    pub name: CloudName,
    /// The driver plugin's name.
    pub driver: String,
    /// Region, where it has one.
    pub region: Option<String>,
    /// Calls at a time.
    pub concurrency: usize,
    /// Whether it takes work.
    pub state: CloudState,
    /// How its instances are compared with orders.
    pub sweep: SweepPolicy,
    /// Maps users to accounts.
    pub mapper: Arc<dyn Mapper>,
    /// The mapper plugin's name.
    pub mapper_name: String,
    /// Digest of mapper plugin and configuration: cached local tokens are keyed by it.
    pub mapper_digest: String,
    /// Drivers by kind; a kind without one is `unsupported`.
    pub drivers: BTreeMap<Kind, Arc<dyn InstanceDriver>>,
    /// Power actions on its machines.
    pub power: Option<Arc<dyn PowerDriver>>,
    /// Existing networks.
    pub networks: Option<Arc<dyn NetworkLister>>,
    /// Quota.
    pub quota: Option<Arc<dyn QuotaDriver>>,
    /// Specs.
    pub specs: Option<Arc<dyn SpecDriver>>,
    /// Images.
    pub images: Option<Arc<dyn ImageDriver>>,
    /// Why the driver is away, where it is.
    pub away: Option<String>,
}

impl CloudBinding {
    /// The driver of a kind.
    ///
    /// # Errors
    /// `unsupported` where the cloud has none.
    pub fn driver(&self, kind: Kind) -> Result<&Arc<dyn InstanceDriver>, Error> {
        self.drivers.get(&kind).ok_or_else(|| {
            Error::unsupported(format!("cloud {} has no driver for {}", self.name, kind.collection()))
        })
    }

    /// The driver of a power action.
    ///
    /// # Errors
    /// `unsupported` where the cloud has no such action.
    pub fn power(&self, action: PowerAction) -> Result<&Arc<dyn PowerDriver>, Error> {
        let has = self.power.as_ref().map_or(&[][..], |driver| driver.actions());
        self.power.as_ref().filter(|_| has.contains(&action)).ok_or_else(|| {
            let known: Vec<&str> = has.iter().map(|action| action.as_str()).collect();
            Error::unsupported(match known.as_slice() {
                [] => format!("cloud {} has no power actions", self.name),
                known => format!("cloud {} cannot {action} machines; it can {}", self.name, known.join(", ")),
            })
        })
    }
}

/// Everything that serves one request.
pub struct Generation {
    /// Grows by one with every swap.
    pub number: u64,
    /// This site.
    pub site: SiteId,
    /// Identity bindings in the order of the site file.
    pub identity: Vec<IdentityBinding>,
    /// The chain; all must allow. A link whose plugin is away stays in it and answers so: left out, it would open the site.
    pub authorization: Vec<AuthorizationBinding>,
    /// Clouds by name.
    pub clouds: BTreeMap<CloudName, Arc<CloudBinding>>,
    /// What keeps the AAA plugins from serving; empty = they serve.
    pub aaa_away: Vec<String>,
}

impl Generation {
    /// The identity binding so named.
    pub fn identity_named(&self, name: &str) -> Option<&IdentityBinding> {
        self.identity.iter().find(|binding| binding.name == name)
    }

    /// The cloud so named.
    ///
    /// # Errors
    /// `invalid` with code `unknown-cloud`.
    pub fn cloud(&self, name: &str) -> Result<&Arc<CloudBinding>, Error> {
        self.clouds.iter().find(|(known, _)| known.as_str() == name).map(|(_, cloud)| cloud).ok_or_else(
            || {
                let known: Vec<&str> = self.clouds.keys().map(CloudName::as_str).collect();
                Error::invalid(format!("there is no cloud {name:?} here; known: {}", known.join(", ")))
                    .code("unknown-cloud")
            },
        )
    }
}

/// Where the present generation comes from.
pub trait Site: Send + Sync {
    /// The generation that serves now.
    fn current(&self) -> Arc<Generation>;
}

//! What stands in a generation where a plugin cannot serve: AAA refuses with `aaa-unavailable`, drivers answer
//! `plugin-away`. Both are transient, both name the reason, and the site starts all the same.

use std::time::Duration;

use archipel_model::plugin::{
    Authentication, Authorization, CloudNetwork, Context, CreateBehaviour, CreateContext, Created,
    Credential, Decision, DriverDescriptor, FederationIdentity, Field, ImageDriver, ImageEntry,
    InstanceDriver, LoginOutcome, Mapper, NetworkLister, Observed, OrderRef, PowerDriver, QuotaDriver,
    QuotaEntry, Resource, SpecDriver, SpecEntry, Tagged, TaggedPage, TokenGenerator, Verdict,
};
use archipel_model::power::PowerAction;
use archipel_model::{Error, FederationUser, LocalToken, SecretBytes};
use async_trait::async_trait;

/// When to ask again, where nothing better is known.
const AGAIN: Duration = Duration::from_secs(10);

/// An AAA plugin cannot serve.
pub(crate) fn aaa(plugin: &str, reason: &str) -> Error {
    tracing::debug!(plugin, reason, "an AAA plugin is away");
    Error::transient(format!(
        "plugin {plugin} is away, so nobody can be let in; the administrator sees why in the list of plugins"
    ))
    .code("aaa-unavailable")
    .retry_after(AGAIN)
}

/// A driver cannot serve.
pub(crate) fn driver(plugin: &str, reason: &str) -> Error {
    tracing::debug!(plugin, reason, "a driver is away");
    Error::transient(format!("plugin {plugin} is away; the administrator sees why in the list of plugins"))
        .code("plugin-away")
        .retry_after(AGAIN)
}

/// A plugin is quarantined. The door is closed for those who judge requests; a mapper is asked later, for an order that
/// has been accepted, so it is away like a driver.
pub(crate) fn quarantined(plugin: &str, function: &str, reason: &str, remaining: Option<Duration>) -> Error {
    let judges = ["token-generator.", "federation-identity.", "authentication.", "authorization."];
    let error = if judges.iter().any(|interface| function.starts_with(interface)) {
        aaa(plugin, reason)
    } else {
        driver(plugin, reason)
    };
    error.retry_after(remaining.unwrap_or(AGAIN))
}

/// Stands in for one plugin.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    plugin: String,
    reason: String,
}

impl Away {
    /// For a plugin, and why.
    pub(crate) fn new(plugin: &str, reason: &str) -> Self {
        Self { plugin: plugin.to_owned(), reason: reason.to_owned() }
    }

    /// Why.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    fn aaa<T>(&self) -> Result<T, Error> {
        Err(aaa(&self.plugin, &self.reason))
    }

    fn driver<T>(&self) -> Result<T, Error> {
        Err(driver(&self.plugin, &self.reason))
    }
}

#[async_trait]
impl TokenGenerator for Away {
    async fn credential_fields(&self) -> Result<Vec<Field>, Error> {
        self.aaa()
    }
    async fn create_token(&self, _: Vec<Credential>, _: &Context) -> Result<LoginOutcome, Error> {
        self.aaa()
    }
    async fn continue_token(
        &self,
        _: String,
        _: Vec<Credential>,
        _: &Context,
    ) -> Result<LoginOutcome, Error> {
        self.aaa()
    }
}

#[async_trait]
impl FederationIdentity for Away {
    async fn get_federation_user(&self, _: &SecretBytes) -> Result<FederationUser, Error> {
        self.aaa()
    }
}

#[async_trait]
impl Authentication for Away {
    async fn is_authentic(&self, _: &FederationUser, _: &SecretBytes, _: &Context) -> Result<Verdict, Error> {
        self.aaa()
    }
}

#[async_trait]
impl Authorization for Away {
    async fn is_authorized(&self, _: &FederationUser, _: &Resource, _: &Context) -> Result<Decision, Error> {
        self.aaa()
    }
    async fn are_authorized(
        &self,
        _: &FederationUser,
        _: &[Resource],
        _: &Context,
    ) -> Result<Vec<Decision>, Error> {
        self.aaa()
    }
}

#[async_trait]
impl Mapper for Away {
    async fn map_user(&self, _: &FederationUser, _: &str, _: &Context) -> Result<String, Error> {
        self.driver()
    }
    async fn get_token(
        &self,
        _: &str,
        _: &str,
        _: &Context,
        _: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        self.driver()
    }
}

#[async_trait]
impl InstanceDriver for Away {
    fn descriptor(&self) -> DriverDescriptor {
        DriverDescriptor { create: CreateBehaviour::Searchable, settle: Duration::from_secs(30) }
    }
    async fn request_instance(&self, _: &CreateContext, _: &LocalToken) -> Result<Created, Error> {
        self.driver()
    }
    async fn get_instance(&self, _: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<Observed, Error> {
        self.driver()
    }
    async fn delete_instance(&self, _: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<(), Error> {
        self.driver()
    }
    async fn find_instances(&self, _: &OrderRef, _: &LocalToken) -> Result<Vec<Tagged>, Error> {
        self.driver()
    }
    async fn list_instances(&self, _: &LocalToken, _: Option<&str>) -> Result<TaggedPage, Error> {
        self.driver()
    }
}

#[async_trait]
impl PowerDriver for Away {
    /// What it has is not known now, so nothing is refused for good.
    fn actions(&self) -> &[PowerAction] {
        PowerAction::ALL
    }
    async fn act(&self, _: PowerAction, _: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<(), Error> {
        self.driver()
    }
}

#[async_trait]
impl NetworkLister for Away {
    async fn get_all_networks(&self, _: &LocalToken) -> Result<Vec<CloudNetwork>, Error> {
        self.driver()
    }
}

#[async_trait]
impl QuotaDriver for Away {
    async fn get_user_quota(&self, _: &LocalToken) -> Result<Vec<QuotaEntry>, Error> {
        self.driver()
    }
}

#[async_trait]
impl SpecDriver for Away {
    async fn get_all_specs(&self, _: &LocalToken) -> Result<Vec<SpecEntry>, Error> {
        self.driver()
    }
    async fn get_spec(&self, _: &str, _: &LocalToken) -> Result<SpecEntry, Error> {
        self.driver()
    }
}

#[async_trait]
impl ImageDriver for Away {
    async fn get_all_images(&self, _: &LocalToken) -> Result<Vec<ImageEntry>, Error> {
        self.driver()
    }
    async fn get_image(&self, _: &str, _: &LocalToken) -> Result<ImageEntry, Error> {
        self.driver()
    }
}

//! What stays the same for all calls of one binding, and the services of the site behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use archipel_egress::{Caller, Channel, Egress};
use archipel_model::audit::AuditSink;
use archipel_model::plugin_storage::PluginStorage;
use archipel_model::{Clock, SiteId};
use archipel_vault::{Signer, Vault};

use super::crypto::HostCrypto;
use super::random::Randomness;
use super::remarks::Remarks;
use crate::grants::EffectiveGrants;

/// What the imports rest on; one set per site, cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// What plugins keep.
    pub storage: Arc<dyn PluginStorage>,
    /// The site's secrets.
    pub vault: Arc<Vault>,
    /// Outgoing HTTP.
    pub egress: Arc<Egress>,
    /// Keys, issuers' keys, password hashing.
    pub crypto: Arc<HostCrypto>,
    /// What must be told before it happens.
    pub audit: Arc<dyn AuditSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random numbers come from.
    pub randomness: Randomness,
    /// This site.
    pub site: SiteId,
}

/// A plugin with its configuration and grants under a name. Immutable but for what `lifecycle.refresh` left and
/// for how much was said about it; a generation that changes any of it makes a new one.
pub struct BindingContext {
    /// The binding's name in the site file: whose storage, whose keys.
    pub name: String,
    /// The same for people, in logs and ledgers: what stands in another's shadow is told apart from it.
    pub label: String,
    /// The plugin's name: whose grants.
    pub plugin: String,
    /// The component's digest, for the ledger and the log.
    pub digest: String,
    /// The configuration as JSON, validated; `{}` if none.
    pub config_json: String,
    /// What it may do.
    pub grants: EffectiveGrants,
    /// What its imports rest on.
    pub services: Services,
    /// What the last `lifecycle.refresh` left.
    pub state: ArcSwapOption<Vec<u8>>,
    /// It stands in the shadow of another: it may look and decide, and changes nothing.
    pub shadow: bool,
    pub(crate) remarks: Remarks,
    channel: OnceLock<Arc<Channel>>,
    signers: BTreeMap<String, OnceLock<Signer>>,
}

impl std::fmt::Debug for BindingContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BindingContext")
            .field("name", &self.name)
            .field("plugin", &self.plugin)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl BindingContext {
    /// A binding whose `refresh` has not run yet.
    pub fn new(
        name: impl Into<String>,
        plugin: impl Into<String>,
        digest: impl Into<String>,
        config_json: impl Into<String>,
        grants: EffectiveGrants,
        services: Services,
    ) -> Self {
        let signers = grants.crypto.iter().map(|given| (given.purpose.clone(), OnceLock::new())).collect();
        let name = name.into();
        Self {
            label: name.clone(),
            name,
            plugin: plugin.into(),
            digest: digest.into(),
            config_json: config_json.into(),
            grants,
            services,
            state: ArcSwapOption::empty(),
            shadow: false,
            remarks: Remarks::default(),
            channel: OnceLock::new(),
            signers,
        }
    }

    /// The same, standing in the shadow of the binding so named.
    #[must_use]
    pub fn in_shadow(self) -> Self {
        Self { shadow: true, label: format!("shadow/{}", self.name), ..self }
    }

    /// The key for a purpose that is granted, and the longest life of its tokens. Made at the first use and kept: to make
    /// one takes half as long as to verify a signature, which identity does on every request.
    pub(crate) fn signer(&self, purpose: &str) -> Option<(&Signer, u32)> {
        let life = self.grants.signing(purpose)?;
        let made = self.signers.get(purpose)?;
        Some((made.get_or_init(|| self.services.crypto.signer(&self.name, purpose)), life))
    }

    /// This binding's way out: its policy, its connections, its TLS sessions. Made at the first use, because most
    /// bindings never speak to anyone.
    pub(crate) fn channel(&self) -> &Arc<Channel> {
        self.channel.get_or_init(|| {
            let caller = Caller { binding: self.label.clone(), digest: self.digest.clone() };
            Arc::new(self.services.egress.channel(caller, self.grants.egress.clone()))
        })
    }
}

//! A benchmark's scenario without a site around it: its orders go wherever its broker sends them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::{Clock, SiteId, SystemClock};
use archipel_runtime::{Compiler, HostCrypto, Randomness, RuntimeLimits, ScenarioRun, Services};
use archipel_store::{MemoryEngine, Store};
use archipel_vault::{Keys, Vault};
use serde_json::{Map, Value};

use crate::bench::{WorkbenchError, no_key};
use crate::case::SITE;

/// A scenario that is ready to run. Of the services it reaches the clock, the log and its configuration; the others are empty.
///
/// # Errors
/// When the machine refuses.
pub async fn scenario(
    config: Map<String, Value>,
    iterations: Option<u32>,
    limits: RuntimeLimits,
    compiler: Compiler,
) -> Result<ScenarioRun, WorkbenchError> {
    let machine = |error: &dyn std::fmt::Display| WorkbenchError::Machine(error.to_string());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let site: SiteId = SITE.parse().map_err(|error: archipel_model::Error| machine(&error))?;
    let store = Store::open(Arc::new(MemoryEngine::new()), &site, Arc::clone(&clock))
        .await
        .map_err(|error| machine(&error))?;
    let tls = archipel_egress::tls::client_config(None).map_err(|error| machine(&error))?;
    let vault = Vault::load(&BTreeMap::new(), Path::new("/"), &no_key()).map_err(|error| machine(&error))?;
    let services = Services {
        storage: store.plugin_storage(),
        vault: Arc::new(vault),
        egress: Arc::new(Egress::new(tls, RingLedger::new(1), Arc::clone(&clock), EgressLimits::default())),
        crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([0; 32])))),
        audit: store.audit_sink(),
        clock,
        randomness: Randomness::default(),
        site,
    };
    Ok(ScenarioRun { config, iterations, services, compiler, limits })
}

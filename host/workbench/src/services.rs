//! What a plugin rests on where there is no site: everything in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::{Clock, SiteId};
use archipel_runtime::{HostCrypto, Randomness, Services};
use archipel_store::{MemoryEngine, Store};
use archipel_vault::{KeySource, Keys, SecretSource, Vault};

use crate::bench::WorkbenchError;
use crate::case::SITE;

fn machine(error: impl std::fmt::Display) -> WorkbenchError {
    WorkbenchError::Machine(error.to_string())
}

/// The host's own connections.
pub(crate) fn egress(clock: &Arc<dyn Clock>) -> Result<Egress, WorkbenchError> {
    let tls = archipel_egress::tls::client_config(None).map_err(machine)?;
    Ok(Egress::new(tls, RingLedger::new(1_000), Arc::clone(clock), EgressLimits::default()))
}

/// Services over a store in memory. Secrets are in plain; none is sealed.
pub(crate) async fn services(
    clock: Arc<dyn Clock>,
    egress: Egress,
    secrets: &BTreeMap<String, SecretSource>,
    randomness: Randomness,
) -> Result<Services, WorkbenchError> {
    let site: SiteId = SITE.parse().map_err(|error: archipel_model::Error| machine(error))?;
    let no_key = KeySource::File("/nonexistent".into());
    let vault = Vault::load(secrets, Path::new("/"), &no_key)
        .map_err(|error| WorkbenchError::Case(error.to_string()))?;
    let store =
        Store::open(Arc::new(MemoryEngine::new()), &site, Arc::clone(&clock)).await.map_err(machine)?;
    Ok(Services {
        storage: store.plugin_storage(),
        vault: Arc::new(vault),
        egress: Arc::new(egress),
        crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([0x77; 32])))),
        audit: store.audit_sink(),
        clock,
        randomness,
        site,
    })
}

//! On an upgrade widening waits for the administrator, narrowing does not.
//!
//! A grant is a ceiling. A version that asks for more than those that served under the same name waits even where the ceiling has
//! room for it, until the administrator lists its digest in `accept`: what was granted with one thing in mind is not given to
//! another. What served before is remembered in the store, so that neither a restart nor taking the file away forgets it; a
//! version that served once may always come back. Under `pin = "digest"` and `pin = "key:..."` those decide alone.

use archipel_model::Error;
use archipel_model::plugin_storage::PluginStorage;
use serde::{Deserialize, Serialize};

use crate::call::Plugin;
use crate::grants::{CapabilityDiff, GrantConfig, Pin, Requested};
use crate::refusal::Refusal;

/// Where it is remembered: no plugin's binding has this name.
const PLACE: &str = "host/admitted";
/// Digests that may come back.
const DIGESTS: usize = 64;
/// Bytes of all that is remembered.
const QUOTA: u64 = 64 << 20;

/// What served under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// What the last version asked for.
    capabilities: Requested,
    /// The newest last.
    digests: Vec<String>,
}

/// What served under a name before; nothing where none did.
///
/// # Errors
/// Where the store is away.
pub(crate) async fn served(storage: &dyn PluginStorage, name: &str) -> Result<Option<Served>, Refusal> {
    let kept = storage.get(PLACE, name).await.map_err(away)?;
    Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Whether a version may serve beside what served there before, whose name is the grant's.
///
/// # Errors
/// [`Refusal::Wider`].
pub(crate) fn check(before: Option<&Served>, plugin: &Plugin, grant: &GrantConfig) -> Result<(), Refusal> {
    let Some(before) = before else { return Ok(()) };
    let decides = grant.effective_pin() == Pin::Capabilities && !grant.lists(&plugin.digest);
    if !decides || before.digests.contains(&plugin.digest) {
        return Ok(());
    }
    let diff = CapabilityDiff::between(&before.capabilities, &plugin.manifest.capabilities);
    if diff.wider.is_empty() {
        return Ok(());
    }
    Err(Refusal::Wider {
        plugin: plugin.name.clone(),
        digest: plugin.digest.clone(),
        beside: diff.to_string(),
    })
}

/// Remembers a version that may serve.
///
/// # Errors
/// Where the store is away.
pub(crate) async fn note(
    storage: &dyn PluginStorage,
    before: Option<&Served>,
    plugin: &Plugin,
) -> Result<(), Refusal> {
    let mut digests = before.map(|served| served.digests.clone()).unwrap_or_default();
    digests.retain(|digest| *digest != plugin.digest);
    digests.push(plugin.digest.clone());
    digests.drain(..digests.len().saturating_sub(DIGESTS));
    let now = Served { capabilities: plugin.manifest.capabilities.clone(), digests };
    if before == Some(&now) {
        return Ok(());
    }
    let bytes = serde_json::to_vec(&now).map_err(|error| Refusal::Trial(error.to_string()))?;
    storage.set(PLACE, &plugin.name, Some(bytes), QUOTA).await.map_err(away)
}

fn away(error: Error) -> Refusal {
    Refusal::Trial(format!("what served before is not known: {error}"))
}

//! Evidence outlives the daemon: when a plugin goes into quarantine, its last failures are put into the store, and the next start
//! shows them. The quarantine itself ends with the process.

use archipel_model::plugin_evidence::FailedCall;
use archipel_model::plugin_storage::PluginStorage;

use crate::figures::Figures;

/// Where: no plugin's binding has this name.
const PLACE: &str = "host/evidence";
/// Bytes for one plugin, below what one value may have.
const MOST: usize = 200 << 10;
/// Bytes for all.
const QUOTA: u64 = 64 << 20;

/// Keeps what is new, the newest failures first as far as there is room. Where the store is away, that is logged: evidence is
/// not worth a plugin's service.
pub(crate) async fn keep(storage: &dyn PluginStorage, plugin: &str, figures: &Figures) {
    let Some(failures) = figures.take_news() else { return };
    let mut room = MOST;
    let kept: Vec<&FailedCall> = failures
        .iter()
        .take_while(|failed| {
            let bytes = serde_json::to_vec(failed).map_or(usize::MAX, |json| json.len());
            room.checked_sub(bytes).is_some_and(|left| {
                room = left;
                true
            })
        })
        .collect();
    let kept = match serde_json::to_vec(&kept) {
        Ok(json) => storage.set(PLACE, plugin, Some(json), QUOTA).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match kept {
        Ok(()) => tracing::info!(plugin, "the evidence of its quarantine is in the store"),
        Err(error) => tracing::warn!(plugin, error, "the evidence of its quarantine is in memory only"),
    }
}

/// Puts back what was kept of a plugin, as if its failures had just been noted; at most `most`.
pub(crate) async fn recall(storage: &dyn PluginStorage, plugin: &str, figures: &Figures, most: usize) {
    let Ok(Some(json)) = storage.get(PLACE, plugin).await else { return };
    let Ok(failures) = serde_json::from_slice::<Vec<FailedCall>>(&json) else { return };
    for failed in failures.into_iter().rev() {
        figures.keep(failed, most);
    }
    let _ = figures.take_news();
}

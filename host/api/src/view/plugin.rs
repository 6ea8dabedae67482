//! Plugins as an administrator sees them.

use std::collections::BTreeMap;

use archipel_model::Timestamp;
use archipel_model::plugin_admin::{CallFigures, PluginStatus};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A plugin and all its bindings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(crate) struct PluginView {
    /// The file's name without `.wasm`.
    name: String,
    version: Option<String>,
    /// `sha256:...`
    digest: Option<String>,
    /// `dropped`, `checked`, `compiled`, `admitted`, `live`, `draining`, `rejected` or `quarantined`.
    #[schema(value_type = String)]
    state: Value,
    /// Interfaces.
    exports: Vec<String>,
    /// Where the site file uses it.
    bindings: Vec<String>,
    /// What its manifest asks for.
    #[schema(value_type = Value)]
    requested: Value,
    /// What was granted.
    #[schema(value_type = Value)]
    granted: Value,
    /// By `interface.function`.
    figures: BTreeMap<String, FiguresView>,
    /// Why it is rejected or quarantined, or what last went wrong.
    last_error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// `warm` or `fresh`, and whether it came from the AOT cache.
    start: String,
}

/// Calls of one function.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallFigures)]
struct FiguresView {
    /// By outcome: `ok`, `error`, `trap`, `deadline`, `memory`, `refused`.
    calls: BTreeMap<String, u64>,
    p50_us: u64,
    p99_us: u64,
}

impl From<CallFigures> for FiguresView {
    fn from(figures: CallFigures) -> Self {
        let CallFigures { calls, p50_us, p99_us } = figures;
        Self { calls, p50_us, p99_us }
    }
}

impl From<PluginStatus> for PluginView {
    fn from(status: PluginStatus) -> Self {
        Self {
            name: status.name,
            version: status.version,
            digest: status.digest,
            state: serde_json::to_value(status.state).unwrap_or(Value::Null),
            exports: status.exports,
            bindings: status.bindings,
            requested: status.requested,
            granted: status.granted,
            figures: status.figures.into_iter().map(|(name, figures)| (name, figures.into())).collect(),
            last_error: status.last_error,
            since: status.since,
            start: status.start,
        }
    }
}

//! Plugins as an administrator sees them.

use std::collections::BTreeMap;

use archipel_model::Timestamp;
use archipel_model::plugin_admin::{CallFigures, PluginStatus};
use archipel_model::plugin_evidence::Quarantine;
use archipel_model::plugin_shadow::{ShadowDifference, ShadowStatus};
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
    /// The key of the site that signed it, by its name in the site file.
    signed_by: Option<String>,
    /// `dropped`, `checked`, `compiled`, `admitted`, `live`, `shadow`, `draining`, `rejected` or `quarantined`.
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
    /// How it does beside another plugin, where it stands in its shadow.
    shadow: Option<ShadowView>,
    /// Why it is left alone, where it is.
    quarantine: Option<QuarantineView>,
    /// How often it was sent into quarantine since the daemon started.
    quarantines: u64,
    /// Why it is rejected or quarantined, or what last went wrong.
    last_error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How its instances begin: `warm` or `fresh`, from a snapshot or prepared in each (and why), from the cache or compiled now.
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
    /// All calls that reached the plugin, by how long they took.
    latency: Vec<BucketView>,
    /// Microseconds of all of them together.
    latency_sum_us: u64,
    /// The most bytes of linear memory that an instance had at the end of a call.
    memory_bytes: u64,
}

/// Calls that took no longer than this, and longer than the bucket before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LatencyBucket)]
struct BucketView {
    /// Microseconds; null in the last bucket.
    #[schema(required = true)]
    up_to_us: Option<u64>,
    calls: u64,
}

/// How a candidate does beside the plugin whose place it may take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shadow)]
struct ShadowView {
    /// The plugin that serves.
    of: String,
    /// Calls in which both said the same.
    agreed: u64,
    /// Calls in which they did not.
    differed: u64,
    /// Calls in which the candidate did not answer.
    failed: u64,
    /// Calls that it was not asked, because it was busy.
    skipped: u64,
    /// The last differences, the newest first.
    differences: Vec<DifferenceView>,
}

/// A call to which the two gave different answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShadowDifference)]
struct DifferenceView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `interface.function`
    function: String,
    /// The request's id, or the account's name for a driver.
    about: String,
    /// What a user got.
    served: String,
    /// What the candidate said.
    candidate: String,
}

impl From<ShadowStatus> for ShadowView {
    fn from(status: ShadowStatus) -> Self {
        let ShadowStatus { of, agreed, differed, failed, skipped, differences } = status;
        let difference = |ShadowDifference { at, function, about, served, candidate }| DifferenceView {
            at,
            function,
            about,
            served,
            candidate,
        };
        Self {
            of,
            agreed,
            differed,
            failed,
            skipped,
            differences: differences.into_iter().map(difference).collect(),
        }
    }
}

/// Why a plugin is left alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(super) struct QuarantineView {
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// When it is asked again; null = when it is released.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    until: Option<Timestamp>,
    /// How often in a row; each time lasts twice as long.
    times: u32,
}

impl From<Quarantine> for QuarantineView {
    fn from(quarantine: Quarantine) -> Self {
        let Quarantine { reason, since, until, times } = quarantine;
        Self { reason, since, until, times }
    }
}

impl From<CallFigures> for FiguresView {
    fn from(figures: CallFigures) -> Self {
        let CallFigures { calls, p50_us, p99_us, latency, memory_bytes } = figures;
        let bucket =
            |(bound, calls): (u64, u64)| BucketView { up_to_us: (bound != u64::MAX).then_some(bound), calls };
        Self {
            calls,
            p50_us,
            p99_us,
            latency_sum_us: latency.sum_us,
            latency: latency.buckets.into_iter().map(bucket).collect(),
            memory_bytes,
        }
    }
}

impl From<PluginStatus> for PluginView {
    fn from(status: PluginStatus) -> Self {
        Self {
            name: status.name,
            version: status.version,
            digest: status.digest,
            signed_by: status.signed_by,
            state: serde_json::to_value(status.state).unwrap_or(Value::Null),
            exports: status.exports,
            bindings: status.bindings,
            requested: status.requested,
            granted: status.granted,
            figures: status.figures.into_iter().map(|(name, figures)| (name, figures.into())).collect(),
            shadow: status.shadow.map(ShadowView::from),
            quarantine: status.quarantine.map(QuarantineView::from),
            quarantines: status.quarantines,
            last_error: status.last_error,
            since: status.since,
            start: status.start,
        }
    }
}

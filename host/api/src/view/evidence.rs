//! What a plugin's failures left behind, as an administrator sees it.

use archipel_model::plugin_evidence::{FailedCall, HostCall, MemorySample, PluginEvidence};
use archipel_model::{OrderId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::plugin::QuarantineView;

/// The last failures of a plugin. Texts are the plugin's own: escaped, cut, secrets masked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginEvidence)]
pub(crate) struct EvidenceView {
    plugin: String,
    /// Whether it is left alone now, and why.
    #[schema(required = true)]
    quarantine: Option<QuarantineView>,
    /// The newest first.
    failures: Vec<FailedCallView>,
    /// Failures that are not kept any more.
    forgotten: u64,
}

/// One call that did not answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailedCall)]
struct FailedCallView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `sha256:...` of the component that ran.
    digest: String,
    version: String,
    binding: String,
    /// `interface.function`
    function: String,
    request_id: String,
    /// The order it served.
    #[schema(value_type = Option<String>, required = true)]
    order: Option<OrderId>,
    /// `trap`, `deadline` or `memory`.
    outcome: String,
    /// Whether it counts towards quarantine.
    strike: bool,
    took_us: u64,
    /// Which call of its instance it was; 1 = a fresh one.
    instance_call: u64,
    cause: String,
    /// Innermost first, demangled.
    frames: Vec<String>,
    /// The last lines that the call logged.
    log: Vec<String>,
    stderr: String,
    /// The last functions of the host that it called, oldest first.
    host_calls: Vec<HostCallView>,
    /// Linear memory over the instance's life.
    memory: Vec<MemoryView>,
}

/// A function of the host that a plugin called.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HostCall)]
struct HostCallView {
    /// After the plugin's call began.
    at_us: u64,
    what: String,
    /// null = it had not answered when the plugin's call ended.
    #[schema(required = true)]
    took_us: Option<u64>,
    #[schema(required = true)]
    outcome: Option<String>,
}

/// The size of linear memory after it grew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemorySample)]
struct MemoryView {
    /// After the instance was made.
    at_us: u64,
    bytes: u64,
}

impl From<PluginEvidence> for EvidenceView {
    fn from(evidence: PluginEvidence) -> Self {
        let PluginEvidence { plugin, quarantine, failures, forgotten } = evidence;
        let failures = failures.into_iter().map(FailedCallView::from).collect();
        Self { plugin, quarantine: quarantine.map(QuarantineView::from), failures, forgotten }
    }
}

impl From<FailedCall> for FailedCallView {
    fn from(call: FailedCall) -> Self {
        let host_call = |call: HostCall| {
            let HostCall { at_us, what, took_us, outcome } = call;
            HostCallView { at_us, what, took_us, outcome }
        };
        let sample = |MemorySample { at_us, bytes }| MemoryView { at_us, bytes };
        Self {
            at: call.at,
            digest: call.digest,
            version: call.version,
            binding: call.binding,
            function: call.function,
            request_id: call.request_id,
            order: call.order,
            outcome: call.outcome,
            strike: call.strike,
            took_us: call.took_us,
            instance_call: call.instance_call,
            cause: call.cause,
            frames: call.frames,
            log: call.log,
            stderr: call.stderr,
            host_calls: call.host_calls.into_iter().map(host_call).collect(),
            memory: call.memory.into_iter().map(sample).collect(),
        }
    }
}

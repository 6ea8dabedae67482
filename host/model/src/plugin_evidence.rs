//! What a plugin's failures leave behind: enough to see what it was doing, without having to run it again.
//!
//! Texts are the plugin's own, and nobody's to trust: escaped, cut, and with every secret that the call held masked.

use serde::{Deserialize, Serialize};

use crate::{OrderId, Timestamp};

/// Why a plugin is not called, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// For people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is asked again; `None` = when an administrator releases it.
    pub until: Option<Timestamp>,
    /// How often in a row it has been sent there; each time lasts twice as long as the one before.
    pub times: u32,
}

/// Everything that is kept of a plugin's failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginEvidence {
    /// The plugin's name.
    pub plugin: String,
    /// Whether it is left alone now, and why.
    pub quarantine: Option<Quarantine>,
    /// The last calls that trapped, ran out of memory or of time, the newest first.
    pub failures: Vec<FailedCall>,
    /// Failures that were noted and are not kept any more.
    pub forgotten: u64,
}

/// One call that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCall {
    /// When it failed.
    pub at: Timestamp,
    /// `sha256:...` of the component that ran.
    pub digest: String,
    /// Its version, as the manifest states.
    pub version: String,
    /// The binding it ran for.
    pub binding: String,
    /// The function, `interface.function`.
    pub function: String,
    /// The request's id, as in the log.
    pub request_id: String,
    /// The order it served.
    pub order: Option<OrderId>,
    /// `trap`, `deadline` or `memory`.
    pub outcome: String,
    /// Whether it counts towards quarantine: waiting for a slow cloud does not.
    pub strike: bool,
    /// Microseconds from asking to failing.
    pub took_us: u64,
    /// Which call of its instance it was; 1 = a fresh one.
    pub instance_call: u64,
    /// What the sandbox says.
    pub cause: String,
    /// Where it was, innermost first, demangled.
    pub frames: Vec<String>,
    /// The last lines that the call logged.
    pub log: Vec<String>,
    /// The end of what it wrote to standard error, where a panic's text is.
    pub stderr: String,
    /// The last functions of the host that it called.
    pub host_calls: Vec<HostCall>,
    /// Linear memory over the instance's life.
    pub memory: Vec<MemorySample>,
}

/// A function of the host that a plugin called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCall {
    /// Microseconds after the plugin's call began.
    pub at_us: u64,
    /// `interface.function`, with what it was asked for.
    pub what: String,
    /// How long it took in microseconds; `None` = it had not answered when the plugin's call ended.
    pub took_us: Option<u64>,
    /// `ok`, a status, or the kind of error.
    pub outcome: Option<String>,
}

/// The size of a plugin's linear memory after it grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    /// Microseconds after the instance was made.
    pub at_us: u64,
    /// Bytes.
    pub bytes: u64,
}

//! Plugins as an administrator sees them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plugin_evidence::{PluginEvidence, Quarantine};
use crate::plugin_shadow::ShadowStatus;
use crate::{Error, Timestamp};

/// Where a plugin stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// Seen in the folder.
    Dropped,
    /// Read and found to be in order.
    Checked,
    /// Compiled.
    Compiled,
    /// Grants cover it.
    Admitted,
    /// Serving.
    Live,
    /// Answering beside another, unheard.
    Shadow,
    /// An older version that finishes its calls.
    Draining,
    /// Refused; `last_error` says why.
    Rejected,
    /// Switched off after repeated failures, or by hand.
    Quarantined,
}

/// Calls of one function by outcome.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct CallFigures {
    /// By outcome: `ok`, `error`, `trap`, `deadline`, `memory`, `refused`.
    pub calls: BTreeMap<String, u64>,
    /// Median of the last calls in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the last calls in microseconds.
    pub p99_us: u64,
    /// All calls that reached the plugin, by how long they took.
    pub latency: LatencyHistogram,
    /// The most bytes of linear memory that an instance had at the end of a call.
    pub memory_bytes: u64,
}

/// How long calls took. Counts are of one bucket each, not summed up.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LatencyHistogram {
    /// Upper bound in microseconds, and calls in the bucket; the last bound is `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
    /// Microseconds of all calls together.
    pub sum_us: u64,
}

impl LatencyHistogram {
    /// All calls.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, calls)| calls).sum()
    }
}

/// A plugin and all its bindings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The file's name without `.wasm`.
    pub name: String,
    /// As the manifest states.
    pub version: Option<String>,
    /// `sha256:...` of the bytes.
    pub digest: Option<String>,
    /// The key of the site that signed it, by its name in the site file.
    pub signed_by: Option<String>,
    /// Where it stands.
    pub state: PluginState,
    /// Interfaces it exports.
    pub exports: Vec<String>,
    /// Where the site file uses it, e.g. `identity/local`, `cloud/emulated (compute)`.
    pub bindings: Vec<String>,
    /// What it asks for, as in its manifest.
    pub requested: serde_json::Value,
    /// What the administrator granted.
    pub granted: serde_json::Value,
    /// By `interface.function`.
    pub figures: BTreeMap<String, CallFigures>,
    /// How it does beside another plugin, where it stands in its shadow.
    pub shadow: Option<ShadowStatus>,
    /// Why it is left alone, where it is.
    pub quarantine: Option<Quarantine>,
    /// How often it was sent into quarantine since the daemon started.
    pub quarantines: u64,
    /// Why it is rejected or quarantined, or what last went wrong.
    pub last_error: Option<String>,
    /// When it came into this state.
    pub since: Timestamp,
    /// How its instances begin: `warm` or `fresh`, from a snapshot or prepared in each (and why), from the AOT cache or
    /// compiled now.
    pub start: String,
}

/// What an administrator can do with plugins.
#[async_trait]
pub trait PluginAdmin: Send + Sync {
    /// All plugins, rejected ones too.
    fn list(&self) -> Vec<PluginStatus>;
    /// One of them.
    fn get(&self, name: &str) -> Option<PluginStatus>;
    /// What its failures left behind; `None` = there is no such plugin.
    fn evidence(&self, name: &str) -> Option<PluginEvidence>;
    /// Reads the folder and the grants again, now.
    async fn reload(&self, name: Option<&str>) -> Result<Vec<PluginStatus>, Error>;
    /// Switches a plugin off.
    async fn quarantine(&self, name: &str, reason: &str) -> Result<PluginStatus, Error>;
    /// Switches it on again.
    async fn release(&self, name: &str) -> Result<PluginStatus, Error>;
}

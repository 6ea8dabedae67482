//! A new version of a plugin that answers beside the one that serves, unheard: what came of comparing them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How a candidate does beside the plugin that it may take the place of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// The plugin that serves.
    pub of: String,
    /// Calls in which both said the same.
    pub agreed: u64,
    /// Calls in which they did not.
    pub differed: u64,
    /// Calls in which the candidate did not answer: it trapped, took too long, or was left alone.
    pub failed: u64,
    /// Calls that it was not asked, because it was still busy with earlier ones.
    pub skipped: u64,
    /// The last differences, the newest first.
    pub differences: Vec<ShadowDifference>,
}

/// A call to which the two gave different answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowDifference {
    /// When.
    pub at: Timestamp,
    /// The function, `interface.function`.
    pub function: String,
    /// The request's id, or the account's name for a driver.
    pub about: String,
    /// What the plugin that serves said; what a user got.
    pub served: String,
    /// What the candidate said.
    pub candidate: String,
}

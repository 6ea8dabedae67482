//! The seam: one request, one answer, one clock. Everything above it is pure and is tested with recorded exchanges.

use archipel_sdk::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    /// Nova.
    Compute,
    /// Cinder.
    Volume,
    /// Neutron.
    Network,
    /// Glance.
    Image,
}

impl Service {
    /// What people call it: stands in front of its words in every error.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Compute => "nova",
            Service::Volume => "cinder",
            Service::Network => "neutron",
            Service::Image => "glance",
        }
    }
}

/// A request. The account's token is put in by the world.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) method: &'static str,
    /// Absolute, with its query.
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: Option<String>,
    pub(crate) timeout: Duration,
}

/// An answer of any status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What the driver has of the world.
pub(crate) trait World {
    /// Sends a request in the account's name and waits for the answer.
    ///
    /// # Errors
    /// No answer; whether the request may have arrived is in the error.
    fn send(&self, call: &Call) -> Result<Answer>;

    /// Ms since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// What this or another instance of the driver remembered under `key`; none also where it cannot be read.
    fn recall(&self, key: &str) -> Option<Vec<u8>>;

    /// Remembers for all instances. Best effort: a cache that cannot be written is no failure.
    fn remember(&self, key: &str, value: &[u8]);
}

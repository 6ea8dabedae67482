//! What a publisher sends to.

use std::time::Duration;

use async_trait::async_trait;

use crate::cloud_event::CloudEvent;

/// Takes events, one attempt at a time.
#[async_trait]
pub(crate) trait Receiver: Send + Sync + 'static {
    /// Returns when the far side has it for good. Called again with the same event after a failure; never for two events
    /// of one subject at a time.
    async fn deliver(&self, event: &CloudEvent) -> Result<(), Failure>;

    /// Lets go of what it holds.
    async fn close(&self) {}
}

/// Why an attempt failed. A far side that did take it and could not say so sees the event again, under the same id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    pub(crate) what: What,
    /// For the administrator; holds no credential.
    pub(crate) reason: String,
}

/// What a failure means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Nobody is there, or it is broken: the others wait too, for this long where it says.
    Away(Option<Duration>),
    /// It will not have this event: the others go on.
    Refused,
    /// It will have none any more.
    Gone,
}

impl Failure {
    pub(crate) fn away(reason: impl Into<String>) -> Self {
        Self { what: What::Away(None), reason: reason.into() }
    }
}

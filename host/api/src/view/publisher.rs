//! Publishers as an administrator sees them.

use archipel_model::Timestamp;
use archipel_model::publisher::PublisherStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sends the site's events somewhere else.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Publisher)]
pub(crate) struct PublisherView {
    /// As in the site file.
    name: String,
    /// `kafka` or `webhook`.
    kind: &'static str,
    /// Brokers, or an origin.
    target: String,
    /// `sending`; `waiting` for a receiver that is away; `gone`: it wants no more (410).
    state: &'static str,
    /// Everything before it is sent: a cursor of `/v1/events` for who asks, and for `from` of a replay.
    cursor: String,
    /// When the oldest event happened that is not sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    behind_since: Option<Timestamp>,
    /// Events that are read and not sent; there may be more in the log.
    waiting: u64,
    /// Since the daemon started, repetitions included.
    sent: u64,
    /// Attempts that failed since then.
    failures: u64,
    /// Events that were given up since then.
    given_up: u64,
    /// Times since then that events were forgotten before they were sent.
    resets: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
    /// Why the last attempt failed, until one succeeds.
    last_error: Option<String>,
}

impl PublisherView {
    pub(crate) fn of(status: PublisherStatus, cursor: String) -> Self {
        Self {
            name: status.name,
            kind: status.kind,
            target: status.target,
            state: status.state.as_str(),
            cursor,
            behind_since: status.behind_since,
            waiting: status.waiting,
            sent: status.sent,
            failures: status.failures,
            given_up: status.given_up,
            resets: status.resets,
            sent_at: status.sent_at,
            last_error: status.last_error,
        }
    }
}

/// From where to send again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    /// A cursor, a time (RFC 3339), `oldest` or `now`; left out: where it stands, for a receiver that was gone.
    #[serde(default)]
    #[schema(max_length = 255)]
    pub(crate) from: Option<String>,
}

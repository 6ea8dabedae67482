//! Every limit of the REST interface: its name, its default, and what it protects from. Section `[limits.api]` of
//! the site file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one client, or all together, may take.
///
/// ```
/// let limits: archipel_api::ApiLimits = serde_json::from_str(r#"{"body_bytes": 4096}"#).unwrap();
/// assert_eq!(limits.body_bytes, 4096);
/// assert_eq!(limits.page_max, 1000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiLimits {
    /// Bytes of a request's body (1 MiB): one request cannot take the memory of many. More is 413.
    pub body_bytes: usize,
    /// Seconds for a whole body to arrive (30): a body that trickles in holds no request for ever. Longer is 408.
    pub body_timeout_s: u64,
    /// Bytes of a request's line and headers (64 KiB; at least 8 KiB): headers cannot take memory. More ends the connection.
    pub header_bytes: usize,
    /// Number of headers (100), for the same reason.
    pub header_count: usize,
    /// Seconds for the next request's headers to arrive (15), an idle connection's life too: "slow loris" clients lose theirs.
    pub header_timeout_s: u64,
    /// Seconds for a TLS handshake (10), for the same reason.
    pub handshake_timeout_s: u64,
    /// Seconds for a whole request (120): a request stuck behind something that never answers ends with 503.
    pub request_timeout_s: u64,
    /// Open connections (4096): descriptors stay for the rest of the daemon. More wait in the kernel's queue.
    pub connections: usize,
    /// Concurrent streams of one HTTP/2 connection (128): one connection cannot take all of `requests`.
    pub streams: u32,
    /// Requests in work at a time (1024): more are 429 at once instead of all becoming slow.
    pub requests: usize,
    /// Logins in work at a time (16): checking a password is made to be costly. More are 429.
    pub logins: usize,
    /// Requests that wait under `Prefer: wait` at a time (512): more are answered at once, without waiting.
    pub waits: usize,
    /// Longest `Prefer: wait` in seconds (60).
    pub wait_max_s: u64,
    /// Event streams at a time (2048): each holds a connection and a page of events. More are 429.
    pub event_streams: usize,
    /// Event streams of one user at a time (64): one user leaves places for others. More are 429.
    pub event_streams_per_user: usize,
    /// Seconds in which the reader of an event stream must take something (30): who does not is cut off, and comes back
    /// with the last id he saw.
    pub event_reader_s: u64,
    /// Items of a list's page when none is asked for (100).
    pub page_default: usize,
    /// Most items of a list's page (1000): one answer cannot take the memory of many.
    pub page_max: usize,
    /// Most orders in one bulk request (1000).
    pub bulk_items: usize,
    /// Seconds that open requests get when the daemon stops (10).
    pub shutdown_grace_s: u64,
    /// Milliseconds for which one look at the store answers `/readyz` (1000): a probe writes, and needs no token.
    pub ready_cache_ms: u64,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            body_timeout_s: 30,
            header_bytes: 64 * 1024,
            header_count: 100,
            header_timeout_s: 15,
            handshake_timeout_s: 10,
            request_timeout_s: 120,
            connections: 4096,
            streams: 128,
            requests: 1024,
            logins: 16,
            waits: 512,
            wait_max_s: 60,
            event_streams: 2048,
            event_streams_per_user: 64,
            event_reader_s: 30,
            page_default: 100,
            page_max: 1000,
            bulk_items: 1000,
            shutdown_grace_s: 10,
            ready_cache_ms: 1000,
        }
    }
}

impl ApiLimits {
    /// Time for a whole body to arrive.
    pub const fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_s)
    }

    /// Time for headers to arrive.
    pub const fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout_s)
    }

    /// Time for a TLS handshake.
    pub const fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.handshake_timeout_s)
    }

    /// Time for a whole request.
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_s)
    }

    /// Time that open requests get when the daemon stops.
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}

//! The bounds of outgoing requests, each with what it protects from.

use std::time::Duration;

/// Bounds of one site.
#[derive(Clone, Debug)]
pub struct EgressLimits {
    /// One attempt to resolve, to connect, to shake hands: keeps a silent address from using up a whole call.
    pub connect: Duration,
    /// Requests that one binding has open: keeps one plugin from taking all ports and sockets.
    pub concurrent_per_binding: usize,
    /// Connections kept per origin.
    pub idle_per_origin: usize,
    /// How long they are kept.
    pub idle_timeout: Duration,
    /// Bytes of a request's body.
    pub request_bytes: u64,
    /// Bytes of an answer's body: keeps a cloud from filling the host's memory through a plugin.
    pub response_bytes: u64,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            concurrent_per_binding: 64,
            idle_per_origin: 8,
            idle_timeout: Duration::from_secs(30),
            request_bytes: 64 << 20,
            response_bytes: 32 << 20,
        }
    }
}

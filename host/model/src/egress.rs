//! Which requests left the site for an order: to whom, how much, how they ended. No path, no header, no body: those may
//! hold secrets.

use std::net::SocketAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Error, OrderId, Timestamp};

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressEntry {
    /// When it was asked for.
    pub at: Timestamp,
    /// By which binding.
    pub binding: String,
    /// `sha256:...` of its component.
    pub digest: String,
    /// For which order.
    pub order: Option<OrderId>,
    /// The call's request id.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// Where to: scheme, host and port.
    pub origin: String,
    /// The address that was spoken to; `None` where it did not come so far.
    pub address: Option<SocketAddr>,
    /// `sha256:...` of the server's certificate; `None` without TLS.
    pub certificate: Option<String>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the answer's body that were read.
    pub received: u64,
    /// Microseconds from asking to the end of the answer.
    pub took_us: u64,
    /// `complete`, `abandoned`, or why it failed.
    pub outcome: String,
}

/// What is kept of the requests of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderEgress {
    /// The newest first.
    pub entries: Vec<EgressEntry>,
    /// Older ones that are not kept any more.
    pub forgotten: u64,
}

/// Keeps them for as long as their order is kept.
#[async_trait]
pub trait EgressLog: Send + Sync {
    /// Keeps entries, each under its order, of which only the newest `per_order` need stay; an entry without an order is
    /// nobody's and is not kept. Durable on return.
    ///
    /// # Errors
    /// `transient`, where the store is away: nothing, or the first part of them, was kept.
    async fn append(&self, entries: &[EgressEntry], per_order: usize) -> Result<(), Error>;

    /// Those of one order; empty for one that is not known.
    ///
    /// # Errors
    /// `transient`, where the store is away.
    async fn of_order(&self, order: OrderId) -> Result<OrderEgress, Error>;
}

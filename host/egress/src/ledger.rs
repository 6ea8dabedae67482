//! One entry for every request that was tried: who, for which order, where to, how much, how it ended. No path, no
//! header, no body: those may hold secrets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::{OrderId, Timestamp};
use serde::Serialize;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// When it was asked for.
    pub at: Timestamp,
    /// By which binding.
    pub binding: String,
    /// Of which component.
    pub digest: String,
    /// For which order.
    pub order: Option<OrderId>,
    /// The call's request id.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// Where to.
    pub origin: String,
    /// The address that was spoken to; `None` where it did not come so far.
    pub address: Option<SocketAddr>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the answer's body that were read.
    pub received: u64,
    /// From asking to the end of the answer.
    pub duration: Duration,
    /// `complete`, `abandoned`, or why it failed.
    pub outcome: String,
}

/// Where entries go. Called at the end of each request, on its task: must not block.
pub trait Ledger: Send + Sync {
    /// Takes one entry.
    fn record(&self, entry: LedgerEntry);
}

/// The last entries, in memory.
#[derive(Debug)]
pub struct RingLedger {
    capacity: usize,
    entries: Mutex<VecDeque<LedgerEntry>>,
}

impl RingLedger {
    /// Keeps the last `capacity` entries.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity: capacity.max(1), entries: Mutex::default() })
    }

    /// What is kept, oldest first.
    pub fn entries(&self) -> Vec<LedgerEntry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Ledger for RingLedger {
    fn record(&self, entry: LedgerEntry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

/// An entry in the making: recorded when it is dropped, so that a cancelled request leaves one too.
pub(crate) struct Record {
    pub(crate) entry: LedgerEntry,
    pub(crate) started: std::time::Instant,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl Record {
    pub(crate) fn failed(&mut self, error: &crate::EgressError) {
        self.entry.outcome = error.to_string();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.entry.duration = self.started.elapsed();
        self.ledger.record(self.entry.clone());
    }
}

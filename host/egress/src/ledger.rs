//! One entry for every request that was tried: who, for which order, where to, how much, how it ended
//! ([`EgressEntry`]).
//!
//! Entries that serve an order are kept with it ([`DurableLedger`]): written behind the request, so that a ledger that is
//! slow slows nobody. A daemon that is killed may lose what ended in its last moments; one that stops loses nothing.

mod durable;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_model::egress::EgressEntry;

pub use durable::{DurableLedger, LedgerWriter};

/// Where entries go. Called at the end of each request, on its task: must not block.
pub trait Ledger: Send + Sync {
    /// Takes one entry.
    fn record(&self, entry: EgressEntry);
}

/// The last entries, in memory.
#[derive(Debug)]
pub struct RingLedger {
    capacity: usize,
    entries: Mutex<VecDeque<EgressEntry>>,
}

impl RingLedger {
    /// Keeps the last `capacity` entries.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity: capacity.max(1), entries: Mutex::default() })
    }

    /// What is kept, oldest first.
    pub fn entries(&self) -> Vec<EgressEntry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Ledger for RingLedger {
    fn record(&self, entry: EgressEntry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

/// An entry in the making: recorded when it is dropped, so that a cancelled request leaves one too.
pub(crate) struct Record {
    pub(crate) entry: EgressEntry,
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
        self.entry.took_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.ledger.record(self.entry.clone());
    }
}

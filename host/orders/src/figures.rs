//! Figures for `/metrics`: counted here, read without asking the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use archipel_model::CloudName;
use archipel_model::order::State;
use serde::Serialize;

/// One cloud's queue.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct QueueFigures {
    /// This daemon works on it.
    pub claimed: bool,
    /// Orders in it.
    pub orders: usize,
    /// Those that are due and wait for a slot.
    pub ready: usize,
    /// Those being worked on.
    pub in_flight: usize,
    /// How late the next due order is.
    pub lag_ms: u64,
    /// Calls to the cloud's drivers that ended well.
    pub calls_ok: u64,
    /// Calls that failed.
    pub calls_failed: u64,
    /// Failures since the last call that ended well: the cloud's health.
    pub failures_in_a_row: u64,
}

/// All figures of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct OrderFigures {
    /// By cloud.
    pub queues: BTreeMap<CloudName, QueueFigures>,
    /// Transitions written by this process, by the state reached.
    pub transitions: BTreeMap<State, u64>,
    /// Writes that someone else's write came before; the step was decided anew.
    pub stale_writes: u64,
    /// Times a queue was lost to another daemon.
    pub fenced: u64,
    /// Steps that panicked; their orders are tried again.
    pub panics: u64,
    /// Duplicates that were removed.
    pub duplicates_removed: u64,
    /// Local tokens that the mapper was asked for.
    pub tokens_made: u64,
}

/// The counters behind them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<OrderFigures>);

impl Tally {
    pub(crate) fn count(&self) -> MutexGuard<'_, OrderFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn call(&self, cloud: &CloudName, well: bool) {
        let mut figures = self.count();
        if !figures.queues.contains_key(cloud) {
            figures.queues.insert(cloud.clone(), QueueFigures::default());
        }
        if let Some(queue) = figures.queues.get_mut(cloud) {
            if well {
                queue.calls_ok += 1;
                queue.failures_in_a_row = 0;
            } else {
                queue.calls_failed += 1;
                queue.failures_in_a_row += 1;
            }
        }
    }
}

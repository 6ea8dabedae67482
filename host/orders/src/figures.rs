//! Figures for `/metrics`: counted here, read without asking the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use archipel_model::CloudName;
use archipel_model::order::State;
use serde::Serialize;

/// Whether calls to a cloud are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// All of them.
    #[default]
    Closed,
    /// One at a time, to see whether the cloud is back.
    HalfOpen,
    /// None: the cloud was silent.
    Open,
}

impl BreakerState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// One cloud's queue.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct QueueFigures {
    /// This daemon works on it.
    pub claimed: bool,
    /// Orders in it.
    pub orders: usize,
    /// Those that are due and wait for a slot.
    pub ready: usize,
    /// Steps and lists that are under way: slots that are taken.
    pub in_flight: usize,
    /// Orders that the cloud was never asked for: what back-pressure goes by.
    pub unasked: usize,
    /// How late the next due order is.
    pub lag_ms: u64,
    /// Calls to the cloud's drivers that ended well.
    pub calls_ok: u64,
    /// Calls that were refused: an answer all the same.
    pub calls_refused: u64,
    /// Calls that came to nothing.
    pub calls_failed: u64,
    /// Calls in a row that the cloud did not answer: its health.
    pub silences_in_a_row: u64,
    /// Whether it is asked at all.
    pub breaker: BreakerState,
    /// Where it is not, for how long.
    pub asked_again_in_ms: u64,
    /// Times that the circuit was opened.
    pub breaker_opened: u64,
    /// Looks.
    pub polls: PollFigures,
    /// What the last sweep found.
    pub sweep: SweepFigures,
}

/// How instances were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct PollFigures {
    /// Looks at one instance.
    pub looks: u64,
    /// Lists that took the place of looks.
    pub lists: u64,
    /// Looks that they spared.
    pub spared: u64,
}

/// What the last sweep of a cloud found, and what all of them did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct SweepFigures {
    /// Sweeps since the daemon started.
    pub sweeps: u64,
    /// Instances with the site's tag that no order has.
    pub unknown: u64,
    /// Forgotten orders of which the cloud may still hold something.
    pub possible_orphans: u64,
    /// Accounts that could not be listed.
    pub gaps: u64,
    /// Unknown instances that were deleted, over all sweeps.
    pub deleted: u64,
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

impl OrderFigures {
    /// A cloud's.
    pub(crate) fn of(&mut self, cloud: &CloudName) -> &mut QueueFigures {
        self.queues.entry(cloud.clone()).or_default()
    }
}

/// The counters behind them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<OrderFigures>);

impl Tally {
    pub(crate) fn count(&self) -> MutexGuard<'_, OrderFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a look, a list, or what it spared.
    pub(crate) fn polls(&self, cloud: &CloudName, count: impl FnOnce(&mut PollFigures)) {
        count(&mut self.count().of(cloud).polls);
    }

    /// Counts a sweep.
    pub(crate) fn swept(&self, cloud: &CloudName, count: impl FnOnce(&mut SweepFigures)) {
        count(&mut self.count().of(cloud).sweep);
    }
}

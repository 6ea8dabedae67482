//! How often each function of a plugin was called, with what outcome, how long it took, how much memory it had, and what
//! its failures left behind.
//!
//! Percentiles are over the last [`WINDOW`] calls of a function: exact, small, and fresh. The histogram is over all
//! calls, so that a monitoring system can take differences.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::plugin_admin::{CallFigures, LatencyHistogram};
use archipel_model::plugin_evidence::FailedCall;

use crate::failure::Outcome;

/// Calls that percentiles look at.
const WINDOW: usize = 512;

/// Upper bounds of the histogram's buckets in microseconds: from a fresh small policy to the deadline of a driver.
const BOUNDS_US: [u64; 20] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The figures of one plugin, over all its bindings and versions.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    functions: Mutex<BTreeMap<&'static str, Function>>,
    failures: Mutex<Failures>,
    quarantines: AtomicU64,
}

#[derive(Debug, Default)]
struct Function {
    outcomes: BTreeMap<Outcome, u64>,
    recent_us: Vec<u64>,
    next: usize,
    /// The last one is of calls above every bound.
    buckets: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
    memory_bytes: u64,
}

/// The last failures, newest last.
#[derive(Debug, Default)]
struct Failures {
    kept: VecDeque<FailedCall>,
    noted: u64,
    /// Of those, as many as were taken.
    taken: u64,
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Function>> {
        // Plain numbers: a panic elsewhere cannot have left them half-changed in a way that matters.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one call, and the linear memory that its instance had at its end.
    pub(crate) fn note(&self, function: &'static str, outcome: Outcome, took: Duration, memory_bytes: usize) {
        let mut functions = self.lock();
        let entry = functions.entry(function).or_default();
        *entry.outcomes.entry(outcome).or_default() += 1;
        if outcome == Outcome::Refused {
            return;
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match entry.recent_us.get_mut(entry.next) {
            Some(slot) => *slot = us,
            None => entry.recent_us.push(us),
        }
        entry.next = (entry.next + 1) % WINDOW;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(calls) = entry.buckets.get_mut(bucket) {
            *calls += 1;
        }
        entry.sum_us = entry.sum_us.saturating_add(us);
        entry.memory_bytes = entry.memory_bytes.max(memory_bytes as u64);
    }

    /// By function.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, CallFigures> {
        self.lock().iter().map(|(name, function)| ((*name).to_owned(), function.figures())).collect()
    }

    /// Keeps a failure; only the last `most` are kept.
    pub(crate) fn keep(&self, failed: FailedCall, most: usize) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.noted = failures.noted.saturating_add(1);
        failures.kept.push_back(failed);
        while failures.kept.len() > most {
            failures.kept.pop_front();
        }
    }

    /// What is kept, newest first, and how many are not kept any more.
    pub(crate) fn failures(&self) -> (Vec<FailedCall>, u64) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = failures.noted.saturating_sub(failures.kept.len() as u64);
        (failures.kept.iter().rev().cloned().collect(), forgotten)
    }

    /// What is kept, newest first, if any of it was not taken like this before.
    pub(crate) fn take_news(&self) -> Option<Vec<FailedCall>> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = failures.noted > failures.taken;
        failures.taken = failures.noted;
        is_new.then(|| failures.kept.iter().rev().cloned().collect())
    }

    /// A version went into quarantine.
    pub(crate) fn quarantined(&self) {
        self.quarantines.fetch_add(1, Ordering::Relaxed);
    }

    /// How often one did.
    pub(crate) fn quarantines(&self) -> u64 {
        self.quarantines.load(Ordering::Relaxed)
    }
}

impl Function {
    fn figures(&self) -> CallFigures {
        let mut sorted = self.recent_us.clone();
        sorted.sort_unstable();
        let percentile = |percent: usize| {
            let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(at).copied().unwrap_or_default()
        };
        let bounds = BOUNDS_US.into_iter().chain([u64::MAX]);
        CallFigures {
            calls: self
                .outcomes
                .iter()
                .map(|(outcome, count)| (outcome.as_str().to_owned(), *count))
                .collect(),
            p50_us: percentile(50),
            p99_us: percentile(99),
            latency: LatencyHistogram { buckets: bounds.zip(self.buckets).collect(), sum_us: self.sum_us },
            memory_bytes: self.memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_calls() {
        let figures = Figures::default();
        for _ in 0..WINDOW {
            figures.note("f", Outcome::Trap, Duration::from_secs(1), 0);
        }
        for us in 1..=512 {
            figures.note("f", Outcome::Ok, Duration::from_micros(us), 0);
        }
        figures.note("f", Outcome::Refused, Duration::ZERO, 0);
        let seen = figures.snapshot().remove("f").unwrap();
        assert_eq!((seen.p50_us, seen.p99_us), (256, 507));
        assert_eq!((seen.calls["ok"], seen.calls["trap"], seen.calls["refused"]), (512, 512, 1));
    }

    #[test]
    fn the_histogram_counts_every_call_that_reached_the_plugin_and_memory_is_the_most_there_was() {
        let figures = Figures::default();
        for (us, memory) in [(25, 10), (26, 30), (60_000_001, 20)] {
            figures.note("f", Outcome::Ok, Duration::from_micros(us), memory);
        }
        figures.note("f", Outcome::Refused, Duration::ZERO, 99);
        let seen = figures.snapshot().remove("f").unwrap();
        let filled: Vec<_> = seen.latency.buckets.iter().filter(|(_, calls)| *calls > 0).copied().collect();
        assert_eq!(filled, [(25, 1), (50, 1), (u64::MAX, 1)]);
        assert_eq!((seen.latency.count(), seen.latency.sum_us), (3, 60_000_052));
        assert_eq!(seen.memory_bytes, 30);
    }

    #[test]
    fn only_the_last_failures_are_kept() {
        let figures = Figures::default();
        for number in 0..5 {
            figures.keep(crate::evidence::sample(number), 3);
        }
        let (kept, forgotten) = figures.failures();
        assert_eq!(kept.iter().map(|call| call.took_us).collect::<Vec<_>>(), [4, 3, 2]);
        assert_eq!(forgotten, 2);
    }
}

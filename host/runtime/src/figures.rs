//! How often each function of a plugin was called, with what outcome, and how long it took.
//!
//! Percentiles are over the last [`WINDOW`] calls of a function: exact, small, and fresh.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::plugin_admin::CallFigures;

use crate::failure::Outcome;

/// Calls that percentiles look at.
const WINDOW: usize = 512;

/// The figures of one plugin, over all its bindings and versions.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    functions: Mutex<BTreeMap<&'static str, Function>>,
}

#[derive(Debug, Default)]
struct Function {
    outcomes: BTreeMap<Outcome, u64>,
    recent_us: Vec<u64>,
    next: usize,
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Function>> {
        // Plain numbers: a panic elsewhere cannot have left them half-changed in a way that matters.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one call.
    pub(crate) fn note(&self, function: &'static str, outcome: Outcome, took: Duration) {
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
    }

    /// By function.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, CallFigures> {
        self.lock().iter().map(|(name, function)| ((*name).to_owned(), function.figures())).collect()
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
        CallFigures {
            calls: self
                .outcomes
                .iter()
                .map(|(outcome, count)| (outcome.as_str().to_owned(), *count))
                .collect(),
            p50_us: percentile(50),
            p99_us: percentile(99),
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
            figures.note("f", Outcome::Trap, Duration::from_secs(1));
        }
        for us in 1..=512 {
            figures.note("f", Outcome::Ok, Duration::from_micros(us));
        }
        figures.note("f", Outcome::Refused, Duration::ZERO);
        let seen = figures.snapshot().remove("f").unwrap();
        assert_eq!((seen.p50_us, seen.p99_us), (256, 507));
        assert_eq!((seen.calls["ok"], seen.calls["trap"], seen.calls["refused"]), (512, 512, 1));
    }
}

//! Strikes and quarantine: a plugin that keeps failing is left alone for a while, so that it stops costing slots.
//!
//! ```text
//! serving ─ N strikes within the window ─▶ quarantined for a while ─▶ serving, one more strike ─▶ quarantined twice as long
//! ```
//! By hand it lasts until it is released. A new version starts afresh.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use archipel_model::Timestamp;
use archipel_model::plugin_evidence::Quarantine;

use crate::limits::{RuntimeLimits, to_u32, to_usize};

/// Watches one version of a plugin, over all its bindings.
#[derive(Debug)]
pub(crate) struct Supervisor {
    strikes_allowed: usize,
    window: Duration,
    first: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    strikes: VecDeque<Instant>,
    until: Option<Until>,
    reason: String,
    since: Timestamp,
    times: u32,
    last_error: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Released,
    /// The machine's clock decides; the other is for people.
    Time(Instant, Timestamp),
}

impl Supervisor {
    /// Nothing against it.
    pub(crate) fn new(limits: &RuntimeLimits) -> Self {
        Self {
            strikes_allowed: to_usize(limits.strikes.max(1)),
            window: Duration::from_secs(limits.strike_window_s),
            first: Duration::from_secs(limits.quarantine_s),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is left alone at `now`.
    pub(crate) fn quarantine(&self, now: Instant) -> Option<Quarantine> {
        let inner = self.lock();
        let until = match inner.until? {
            Until::Released => None,
            Until::Time(until, shown) => {
                until.checked_duration_since(now).filter(|left| !left.is_zero())?;
                Some(shown)
            }
        };
        Some(Quarantine { reason: inner.reason.clone(), since: inner.since, until, times: inner.times })
    }

    /// Why a call at `now` is refused, and when to ask again (`None` = when it is released).
    pub(crate) fn refusal(&self, now: Instant) -> Option<(String, Option<Duration>)> {
        let inner = self.lock();
        let remaining = match inner.until? {
            Until::Released => None,
            Until::Time(until, _) => Some(until.checked_duration_since(now).filter(|left| !left.is_zero())?),
        };
        Some((inner.reason.clone(), remaining))
    }

    /// A call failed at `now`, which is `at` for people; says whether that sent the plugin into quarantine.
    pub(crate) fn strike(&self, now: Instant, at: Timestamp, what: &str) -> bool {
        let mut inner = self.lock();
        inner.last_error = Some(what.to_owned());
        if matches!(inner.until, Some(Until::Released)) {
            return false;
        }
        // Just out of quarantine, and failing again: that is enough.
        let relapsed = match inner.until {
            Some(Until::Time(until, _)) if now < until => return false,
            Some(Until::Time(until, _)) => now.duration_since(until) < self.window,
            _ => false,
        };
        while inner.strikes.front().is_some_and(|first| now.duration_since(*first) > self.window) {
            inner.strikes.pop_front();
        }
        inner.strikes.push_back(now);
        if inner.until.is_some() && !relapsed {
            inner.until = None;
            inner.times = 0;
        }
        if !relapsed && inner.strikes.len() < self.strikes_allowed {
            return false;
        }
        let factor = 1_u32.checked_shl(inner.times.min(6)).unwrap_or(64);
        let pause = self.first.saturating_mul(factor);
        let count = to_u32(u64::try_from(inner.strikes.len()).unwrap_or(u64::MAX));
        inner.reason = format!("{count} failures within {} s, the last: {what}", self.window.as_secs());
        inner.since = at;
        inner.until = Some(Until::Time(now.checked_add(pause).unwrap_or(now), at.plus(pause)));
        inner.times = inner.times.saturating_add(1);
        inner.strikes.clear();
        true
    }

    /// Switches it off by hand.
    pub(crate) fn hold(&self, at: Timestamp, reason: &str) {
        let mut inner = self.lock();
        inner.until = Some(Until::Released);
        inner.since = at;
        inner.reason = reason.to_owned();
    }

    /// Switches it on again.
    pub(crate) fn release(&self) {
        *self.lock() = Inner::default();
    }

    /// What last went wrong.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> (Supervisor, Instant) {
        (Supervisor::new(&RuntimeLimits::default()), Instant::now())
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn five_strikes_within_a_minute_and_it_is_left_alone() {
        let (watched, start) = supervisor();
        for second in 0..4 {
            assert!(!watched.strike(after(start, second), Timestamp::default(), "trap"));
        }
        assert!(watched.strike(after(start, 4), Timestamp::default(), "trap"));
        let quarantine = watched.quarantine(after(start, 5)).unwrap();
        assert_eq!(quarantine.until, Some(Timestamp::default().plus(Duration::from_secs(10))));
        assert_eq!(quarantine.reason, "5 failures within 60 s, the last: trap");
        assert_eq!(quarantine.times, 1);
        let (_, remaining) = watched.refusal(after(start, 5)).unwrap();
        assert_eq!(remaining, Some(Duration::from_secs(9)));
        assert_eq!(watched.quarantine(after(start, 14)), None);
        assert_eq!(watched.refusal(after(start, 14)), None);
    }

    #[test]
    fn slow_failures_do_not_add_up() {
        let (watched, start) = supervisor();
        for minute in 0..20 {
            assert!(!watched.strike(after(start, minute * 61), Timestamp::default(), "trap"));
        }
    }

    #[test]
    fn a_relapse_costs_twice_as_long_and_good_behaviour_is_forgiven() {
        let (watched, start) = supervisor();
        for _ in 0..5 {
            watched.strike(start, Timestamp::default(), "trap");
        }
        assert!(watched.strike(after(start, 11), Timestamp::default(), "again"));
        assert_eq!(watched.refusal(after(start, 11)).unwrap().1, Some(Duration::from_secs(20)));
        assert_eq!(watched.quarantine(after(start, 11)).unwrap().times, 2);
        let later = watched.strike(after(start, 200), Timestamp::default(), "later");
        assert!(!later, "long after, strikes count from one again");
        assert_eq!(watched.quarantine(after(start, 200)), None);
    }

    #[test]
    fn by_hand_it_lasts_until_it_is_released() {
        let (watched, start) = supervisor();
        watched.hold(Timestamp::default(), "tampered");
        assert_eq!(watched.quarantine(after(start, 100_000)).unwrap().until, None);
        assert_eq!(watched.refusal(after(start, 100_000)).unwrap(), ("tampered".to_owned(), None));
        watched.release();
        assert_eq!(watched.quarantine(start), None);
    }
}

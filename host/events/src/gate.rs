//! When attempts may be made: at once, after a pause that all of a publisher share, or not any more.
//!
//! A receiver that is away is asked ever more slowly, by all together: a thousand orders' events that each back off for
//! themselves would still be a thousand attempts a minute at a machine that is trying to get up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The first wait after a failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait that we choose ourselves.
const MOST: Duration = Duration::from_secs(60);
/// The longest wait that a receiver may ask for.
const MOST_ASKED: Duration = Duration::from_secs(3600);
/// So many failures one after the other are an outage: its end wakes all that wait.
const OUTAGE: u32 = 3;

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Until(Instant),
    Gone,
}

#[derive(Debug)]
pub(crate) struct Pace {
    gate: watch::Sender<Gate>,
    /// Grows at the end of an outage.
    woken: watch::Sender<u64>,
    failures: Mutex<u32>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { gate: watch::Sender::new(Gate::Open), woken: watch::Sender::new(0), failures: Mutex::new(0) }
    }
}

impl Pace {
    /// What may be done now.
    pub(crate) fn now(&self) -> Gate {
        match *self.gate.borrow() {
            Gate::Until(end) if end <= Instant::now() => Gate::Open,
            gate => gate,
        }
    }

    /// Waits until an attempt may be made.
    pub(crate) async fn pass(&self) {
        let mut gate = self.gate.subscribe();
        loop {
            let now = *gate.borrow_and_update();
            match now {
                Gate::Open => return,
                Gate::Until(end) if end <= Instant::now() => return,
                Gate::Until(end) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(end) => {}
                        _ = gate.changed() => {}
                    }
                }
                Gate::Gone => {
                    let _ = gate.changed().await;
                }
            }
        }
    }

    /// Waits before the same event is tried again after its `failures`-th failure, or until an outage ends.
    pub(crate) async fn before_next(&self, failures: u32) {
        let mut woken = self.woken.subscribe();
        woken.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(backoff(failures)) => {}
            _ = woken.changed() => {}
        }
    }

    /// Something arrived.
    pub(crate) fn succeeded(&self) {
        let before = std::mem::take(&mut *self.failures());
        if before >= OUTAGE {
            self.woken.send_modify(|times| *times = times.wrapping_add(1));
        }
    }

    /// The receiver is away: all wait, for as long as it asks or ever longer.
    pub(crate) fn away(&self, asked: Option<Duration>) {
        // Those that were under way together count as one.
        if self.now() != Gate::Open {
            return;
        }
        let count = {
            let mut failures = self.failures();
            *failures = failures.saturating_add(1);
            *failures
        };
        let wait = backoff(count).max(asked.unwrap_or_default().min(MOST_ASKED));
        self.gate.send_replace(Gate::Until(Instant::now() + wait));
    }

    /// The receiver wants no more.
    pub(crate) fn gone(&self) {
        self.gate.send_replace(Gate::Gone);
    }

    /// As at the beginning.
    pub(crate) fn open(&self) {
        *self.failures() = 0;
        self.gate.send_replace(Gate::Open);
    }

    fn failures(&self) -> MutexGuard<'_, u32> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The n-th wait (from 1): doubles, somewhere in its upper half, so that what failed together does not come back together.
fn backoff(n: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(n.saturating_sub(1).min(20)).unwrap_or(u32::MAX));
    let whole = doubled.min(MOST);
    whole.div_f64(2.0).saturating_add(whole.mul_f64(rand::random::<f64>() / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_off_doubles_up_to_its_end() {
        for n in 1..40 {
            let whole = FIRST.saturating_mul(2_u32.saturating_pow((n - 1).min(20))).min(MOST);
            assert!((whole / 2..=whole).contains(&backoff(n)), "{n}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_all_and_what_is_asked_for_is_respected_within_reason() {
        let pace = Pace::default();
        let start = Instant::now();
        pace.pass().await;
        pace.away(Some(Duration::from_secs(90)));
        pace.away(Some(Duration::from_secs(900)));
        pace.pass().await;
        assert!((90..91).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        pace.away(Some(Duration::from_secs(1 << 40)));
        pace.pass().await;
        assert!(start.elapsed() < Duration::from_secs(3700));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_gone_until_it_is_opened() {
        let pace = Pace::default();
        pace.gone();
        pace.away(None);
        assert_eq!(pace.now(), Gate::Gone);
        assert!(tokio::time::timeout(Duration::from_secs(1 << 20), pace.pass()).await.is_err());
        pace.open();
        pace.pass().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_outage_wakes_who_waits_and_one_success_among_failures_does_not() {
        let pace = Pace::default();
        for _ in 0..OUTAGE {
            pace.pass().await;
            pace.away(None);
        }
        let start = Instant::now();
        tokio::join!(pace.before_next(20), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.succeeded();
        });
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        pace.open();
        pace.away(None);
        tokio::join!(pace.before_next(20), async { pace.succeeded() });
        assert!(start.elapsed() > Duration::from_secs(30));
    }
}

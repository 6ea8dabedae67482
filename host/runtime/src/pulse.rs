//! Whether a plugin that missed its deadline was computing or waiting: for a cloud, or for a busy machine.
//!
//! A plugin that computes gives its thread back at every tick of the epoch, and asks for it again at once. One that waits
//! gives it back inside a host function, and is woken. Both look alike from outside, a poll after a poll; so the epoch's
//! callback says when it was the reason, and a poll that it did not ask for begins the count anew. It does not matter how
//! often a server that drips wakes its reader.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Ticks in a row (of a millisecond, as a rule) up to its deadline that a plugin was found computing at.
const COMPUTING: u64 = 10;

/// One store's pulse; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The epoch's callback gave the thread back.
    has_yielded: AtomicBool,
    /// Ticks since the plugin last waited.
    ticks: AtomicU64,
}

impl Pulse {
    /// The epoch advanced while the plugin was computing.
    pub(crate) fn tick(&self) {
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
        self.0.has_yielded.store(true, Ordering::Relaxed);
    }

    /// Whether it has been computing without a pause.
    pub(crate) fn is_computing(&self) -> bool {
        self.0.ticks.load(Ordering::Relaxed) >= COMPUTING
    }

    /// Does the work of a call, and sees when it waits.
    pub(crate) async fn watch<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(move |cx| {
            if !self.0.has_yielded.swap(false, Ordering::Relaxed) {
                self.0.ticks.store(0, Ordering::Relaxed);
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{sleep, timeout};

    use super::*;

    async fn compute(pulse: &Pulse, ticks: u64) {
        for _ in 0..ticks {
            pulse.tick();
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_computes_up_to_its_deadline_is_told_from_what_waits() {
        let pulse = Pulse::default();
        let seen = pulse.clone();
        let work = async {
            sleep(Duration::from_millis(1)).await;
            compute(&seen, COMPUTING).await;
        };
        pulse.clone().watch(work).await;
        assert!(pulse.is_computing());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_woken_again_and_again_waits_however_much_it_computed_before() {
        let pulse = Pulse::default();
        let seen = pulse.clone();
        let work = async {
            compute(&seen, 50 * COMPUTING).await;
            loop {
                sleep(Duration::from_millis(2)).await;
                // The epoch advanced meanwhile: the first check finds that.
                compute(&seen, 2).await;
            }
        };
        assert!(timeout(Duration::from_secs(1), pulse.clone().watch(work)).await.is_err());
        assert!(!pulse.is_computing());
    }
}

//! Time that stands still until it is turned.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use archipel_model::{Clock, Timestamp};

/// A clock that is turned by hand. Deadlines of calls go by real time: a plugin that hangs is still stopped.
#[derive(Debug)]
pub struct TurnedClock {
    start: Timestamp,
    turned_ms: AtomicI64,
}

impl TurnedClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self { start, turned_ms: AtomicI64::new(0) }
    }

    /// Turns it forward.
    pub fn turn(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        // Saturates: a test that turns it beyond all time stays there.
        let _ = self
            .turned_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turned| Some(turned.saturating_add(by)));
    }
}

impl Clock for TurnedClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.turned_ms.load(Ordering::Relaxed)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_when_it_is_turned_and_never_backwards() {
        let clock = TurnedClock::at(Timestamp::from_millis(1_000));
        assert_eq!(clock.now().as_millis(), 1_000);
        clock.turn(Duration::from_secs(2));
        assert_eq!((clock.now().as_millis(), clock.monotonic()), (3_000, Duration::from_secs(2)));
        clock.turn(Duration::MAX);
        clock.turn(Duration::MAX);
        assert!(clock.now().as_millis() > 3_000);
    }
}

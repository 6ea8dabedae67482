//! How long something is over for certain, whatever happens to the machine's clock.
//!
//! `settle` and a lease's grace are waits that protect: waited too short, a machine is doubled or deleted. The times that
//! they are counted from are durable, so they are the wall clock's, and that jumps: a machine wakes up, NTP corrects it,
//! a person sets it. So a wait counts no longer than this process has seen the wall clock go as the monotonic clock
//! goes (`CLOCK_MONOTONIC`, clock_gettime(2)). After a start and after a jump, protective waits begin anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::{Clock, Timestamp};
use tokio::time::Instant;

/// The two clocks differ by less than this between two looks when nothing happened.
const JUMP: Duration = Duration::from_secs(1);

/// Compares the two clocks.
pub(crate) struct Steady {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

struct Seen {
    wall: Timestamp,
    at: Instant,
    /// Both have gone alike since.
    since: Instant,
}

impl Steady {
    /// Nothing is over for certain yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let at = Instant::now();
        let seen = Mutex::new(Seen { wall: clock.now(), at, since: at });
        Self { clock, seen }
    }

    /// At least so long ago is `since`.
    pub(crate) fn waited(&self, since: Timestamp) -> Duration {
        let (wall, at) = (self.clock.now(), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = seen.wall.plus(at.duration_since(seen.at));
        if wall.since(expected).max(expected.since(wall)) > JUMP {
            tracing::warn!(clock = %wall, expected = %expected, "the machine's clock jumped; waits that protect begin anew");
            seen.since = at;
        }
        (seen.wall, seen.at) = (wall, at);
        let steady = at.duration_since(seen.since);
        // A time that is yet to come was written before the clock was set back.
        if since > wall { steady } else { wall.since(since).min(steady) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    async fn pass(wall: &Wall, seconds: i64) {
        wall.0.fetch_add(seconds * 1000, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(seconds.unsigned_abs())).await;
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_clock_goes_right_a_wait_is_what_it_says() {
        let wall = Arc::new(Wall::default());
        let steady = Steady::new(wall.clone());
        pass(&wall, 100).await;
        let since = wall.now();
        pass(&wall, 30).await;
        assert_eq!(steady.waited(since), s(30));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_the_start_began_at_the_start() {
        let wall = Arc::new(Wall::default());
        pass(&wall, 1000).await;
        let steady = Steady::new(wall.clone());
        pass(&wall, 5).await;
        assert_eq!(steady.waited(Timestamp::from_millis(0)), s(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_in_either_direction_lets_waits_begin_anew() {
        for jump in [3_600_000, -3_600_000] {
            let wall = Arc::new(Wall::default());
            let steady = Steady::new(wall.clone());
            pass(&wall, 10_000).await;
            let since = wall.now();
            pass(&wall, 5).await;
            wall.0.fetch_add(jump, Ordering::SeqCst);
            assert_eq!(steady.waited(since), s(0), "{jump}");
            pass(&wall, 20).await;
            assert_eq!(steady.waited(since), s(20), "{jump}");
        }
    }
}

//! WASI made virtual: no arguments, no environment, no folders, standard input closed, output captured, and clocks
//! that are too coarse to time a neighbour by.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::Clock;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use super::stdio::Captured;

/// Resolution of the monotonic clock.
const TICK: Duration = Duration::from_millis(1);

/// The WASI state of a store.
pub(crate) fn virtual_wasi(clock: &Arc<dyn Clock>, stdout: &Captured, stderr: &Captured) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .wall_clock(Wall(Arc::clone(clock)))
        .monotonic_clock(Coarse { since: clock.monotonic(), clock: Arc::clone(clock) })
        .allow_ip_name_lookup(false)
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// The site's clock, in milliseconds.
struct Wall(Arc<dyn Clock>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        TICK
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().as_unsigned_millis())
    }
}

/// Counts from the making of the store, in whole ticks.
struct Coarse {
    clock: Arc<dyn Clock>,
    since: Duration,
}

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        let ticks = self.clock.monotonic().saturating_sub(self.since).as_millis() / TICK.as_millis();
        u64::try_from(ticks * TICK.as_nanos()).unwrap_or(u64::MAX)
    }
}

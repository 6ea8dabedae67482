//! What is done to the daemon in one round.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::daemon::Daemon;
use crate::site::Site;

/// Where the process can be ended from inside; each stands in the code as `fail::point(NAME)`.
const FAIL_POINTS: [&str; 12] = [
    "commit-before-flush",
    "commit-after-flush",
    "after-claim",
    "after-selected",
    "before-request-instance",
    "after-request-instance",
    "before-adopt",
    "before-delete-instance",
    "after-delete-instance",
    "before-power-action",
    "after-power-action",
    "before-answer",
];

/// Claims run out so fast, so that a daemon that is stopped for longer wakes up without them.
pub(super) const CLAIM_TTL: Duration = Duration::from_secs(1);

/// The clock goes ahead by at most so much, more or less from one daemon to the next and in the middle of a life: more would
/// end the clients' sessions, and behind the time when they were made the site does not believe in them.
const MOST_AHEAD_MS: u32 = 3_600_000;

/// How a daemon's life goes and ends.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where it ends itself, and at which passing.
    armed: Option<String>,
    /// Stopped (SIGSTOP) for so long in the middle of its life.
    stopped: Option<Duration>,
    /// What its clock is ahead at first, and then in the middle of its life.
    ahead_ms: [u32; 2],
    /// It is killed after so long.
    lives: Duration,
}

impl Plan {
    /// A fail point in half of the rounds; a stop in a quarter; a clock that jumps in a quarter.
    pub(super) fn of(rng: &mut StdRng) -> Self {
        let point = FAIL_POINTS.choose(rng).copied().unwrap_or_default();
        let armed = format!("{point}:{}", rng.gen_range(1..40));
        let stopped = CLAIM_TTL + Duration::from_millis(rng.gen_range(100..1000));
        let jumps = rng.gen_bool(0.25);
        let mut ahead = || if jumps { rng.gen_range(0..MOST_AHEAD_MS) } else { 0 };
        let ahead_ms = [ahead(), ahead()];
        Self {
            armed: rng.gen_bool(0.5).then_some(armed),
            stopped: rng.gen_bool(0.25).then_some(stopped),
            ahead_ms,
            lives: Duration::from_millis(rng.gen_range(200..1500)),
        }
    }

    /// Starts a daemon, and ends it. It may end at its fail point before it is ready, or at any time after.
    pub(super) async fn carry_out(&self, site: &Site) -> Result<()> {
        let clock = site.folder().join("clock");
        let [at_first, then] = self.ahead_ms.map(|ms| ms.to_string());
        std::fs::write(&clock, at_first)?;
        let clock_file = clock.to_str().context("the path of the clock's file")?;
        let mut variables = vec![("ARCHIPEL_CLOCK", clock_file)];
        variables.extend(self.armed.as_deref().map(|armed| ("ARCHIPEL_FAIL_POINT", armed)));
        let mut daemon = match site.start_with(&["--fail-points"], &variables).await {
            Ok(daemon) => daemon,
            Err(_) if self.armed.is_some() => return Ok(()),
            Err(error) => return Err(error),
        };
        let half = self.lives / 2;
        if daemon.ended(half).await.is_err() {
            std::fs::write(&clock, then)?;
            if let Some(stopped) = self.stopped {
                signal(&daemon, "-STOP")?;
                tokio::time::sleep(stopped).await;
                signal(&daemon, "-CONT")?;
            }
            // An error says that it still lives.
            let _ = daemon.ended(half).await;
        }
        daemon.kill()?;
        Ok(())
    }
}

fn signal(daemon: &Daemon, signal: &str) -> Result<()> {
    // It may have ended by itself.
    Command::new("kill").args([signal, &daemon.pid().to_string()]).output().context("starting kill")?;
    Ok(())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.armed {
            Some(armed) => write!(f, "armed at {armed}")?,
            None => write!(f, "kill -9 after {} ms", self.lives.as_millis())?,
        }
        if let Some(stopped) = self.stopped {
            write!(f, ", stopped for {} ms", stopped.as_millis())?;
        }
        if let [at_first, then] = self.ahead_ms
            && at_first != then
        {
            write!(f, ", its clock {} s ahead, then {} s", at_first / 1000, then / 1000)?;
        }
        Ok(())
    }
}

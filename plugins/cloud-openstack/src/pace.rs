//! When to look again at what is being made.
//!
//! A quarter of its age later: a machine is seen ready at most a quarter later than it was, whether it takes two seconds
//! or five minutes, and a hundred that boot slowly are not asked about a hundred times a second, which would make them
//! boot more slowly. What is busy otherwise (on its way out, rebooting) is left to the host, which looks ever less often.

use archipel_sdk::cloud::{Instance, Status};

/// The soonest.
const LEAST_MS: u64 = 500;

/// The latest.
const MOST_MS: u64 = 5000;

/// The hint for an instance that the cloud dates `created_at`. None where there is nothing to go by: no date, or one that
/// lies ahead of our clock.
pub(crate) fn hint(instance: &Instance, created_at: Option<u64>, now_ms: u64) -> Option<u32> {
    if instance.status != Status::Creating {
        return None;
    }
    let age = now_ms.checked_sub(created_at?)?;
    u32::try_from((age / 4).clamp(LEAST_MS, MOST_MS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_looked_at_less_often() {
        let of = |status, created_at, now| hint(&Instance::new("i", status, ""), created_at, now);
        assert_eq!(of(Status::Creating, Some(10_000), 10_100), Some(500));
        assert_eq!(of(Status::Creating, Some(10_000), 18_000), Some(2000));
        assert_eq!(of(Status::Creating, Some(10_000), 900_000), Some(5000));
        assert_eq!(of(Status::Creating, Some(10_000), 9000), None, "the clocks disagree");
        assert_eq!(of(Status::Creating, None, 9000), None);
        assert_eq!(of(Status::Busy, Some(0), 9000), None);
    }
}

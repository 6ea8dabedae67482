//! What the machine offers: address space for the pool of instances, open files, the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::Finding;

/// Open files that a site with some clouds and a few hundred clients wants.
const FILES: u64 = 4096;
/// 2025-01-01: no machine that runs this is older.
const BUILT_AFTER: Duration = Duration::from_secs(1_735_689_600);

pub(super) fn look() -> Vec<Finding> {
    vec![address_space(), files(), clock()]
}

fn address_space() -> Finding {
    let what = "address space";
    match getrlimit(Resource::As).current {
        None => Finding::good(what, "unbounded"),
        Some(bytes) => Finding::doubtful(
            what,
            format!(
                "bounded to {} GiB: the pool of instances needs more, and calls are slower without it",
                bytes >> 30
            ),
            "take the bound away (ulimit -v unlimited, or LimitAS=infinity in the unit)",
        ),
    }
}

fn files() -> Finding {
    let what = "open files";
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < FILES => Finding::doubtful(
            what,
            format!("at most {most}"),
            format!("allow {FILES} (ulimit -Hn {FILES}, or LimitNOFILE={FILES} in the unit)"),
        ),
        Some(most) => Finding::good(what, format!("at most {most}")),
        None => Finding::good(what, "unbounded"),
    }
}

fn clock() -> Finding {
    let what = "clock";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now < BUILT_AFTER {
        return Finding::bad(
            what,
            "it is years behind: tokens and leases would end at once",
            "set it, and keep it set (NTP)",
        );
    }
    let shown = archipel_model::Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    Finding::good(what, format!("{shown}"))
}

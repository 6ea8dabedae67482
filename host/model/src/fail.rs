//! Fail points: places where the kill test ends the process, to prove that a break there loses and doubles nothing.
//!
//! Off unless `ARCHIPEL_FAIL_POINT=NAME:COUNT` is set *and* [`arm`] was called (the daemon does so under `--fail-points`
//! alone). At the `COUNT`-th passing of the point `NAME` the process aborts, as `kill -9` would end it.
//!
//! And a clock that a test sets ([`clock`]).

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::{Clock, SystemClock, Timestamp};

struct Armed {
    name: String,
    left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Reads `ARCHIPEL_FAIL_POINT` and arms the point it names. Says which, for the log.
pub fn arm() -> Option<String> {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("ARCHIPEL_FAIL_POINT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some(Armed { name: name.to_owned(), left: AtomicU64::new(count.parse().ok().filter(|n| *n > 0)?) })
    });
    armed.as_ref().map(|armed| armed.name.clone())
}

/// Passes the point `name`; never returns when it is the armed one and its count is up.
pub fn point(name: &str) {
    if let Some(Some(armed)) = ARMED.get()
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

static OFF_BY_MS: AtomicI64 = AtomicI64::new(0);

/// A clock that is off by as much as the file says that [`clock`] was given.
struct Off;

impl Clock for Off {
    fn now(&self) -> Timestamp {
        let by = OFF_BY_MS.load(Ordering::Relaxed);
        Timestamp::from_millis(SystemClock.now().as_millis().saturating_add(by))
    }
}

/// The machine's clock, or, where `ARCHIPEL_CLOCK` names a file, one that is off by the milliseconds that stand there from
/// time to time; fewer than none is behind. Also says which file, for the log.
pub fn clock() -> (Arc<dyn Clock>, Option<PathBuf>) {
    let Some(file) = std::env::var_os("ARCHIPEL_CLOCK").map(PathBuf::from) else {
        return (Arc::new(SystemClock), None);
    };
    let watched = file.clone();
    let follow = move || {
        loop {
            // A file that is being written says nothing yet.
            let text = std::fs::read_to_string(&watched).ok();
            if let Some(by) = text.and_then(|text| text.trim().parse().ok()) {
                OFF_BY_MS.store(by, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let is_followed = std::thread::Builder::new().name("clock".to_owned()).spawn(follow).is_ok();
    (Arc::new(Off), Some(file).filter(|_| is_followed))
}

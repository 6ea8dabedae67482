//! Fail points: places where the kill test ends the process, to prove that a break there loses and doubles nothing.
//!
//! Off unless `ARCHIPEL_FAIL_POINT=NAME:COUNT` is set *and* [`arm`] was called (the daemon does so under `--fail-points`
//! alone). At the `COUNT`-th passing of the point `NAME` the process aborts, as `kill -9` would end it.
//!
//! And a clock that a test sets: [`watch_clock`] follows a file that says how far the machine's clock is off.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

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

static CLOCK_OFFSET_MS: AtomicI64 = AtomicI64::new(0);

/// Milliseconds that the machine's clock is off for this process; 0 unless a test says otherwise.
pub(crate) fn clock_offset_ms() -> i64 {
    CLOCK_OFFSET_MS.load(Ordering::Relaxed)
}

/// Follows the file that `ARCHIPEL_CLOCK` names, should it: its number of milliseconds, which may be negative, is added
/// to the clock as long as it stands there. Says which file, for the log.
pub fn watch_clock() -> Option<PathBuf> {
    let file = PathBuf::from(std::env::var_os("ARCHIPEL_CLOCK")?);
    let watched = file.clone();
    let follow = move || {
        loop {
            // A file that is being written says nothing yet.
            if let Some(offset) =
                std::fs::read_to_string(&watched).ok().and_then(|text| text.trim().parse().ok())
            {
                CLOCK_OFFSET_MS.store(offset, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    std::thread::Builder::new().name("clock".to_owned()).spawn(follow).ok().map(|_| file)
}

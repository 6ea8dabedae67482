//! Fail points: places where the kill test ends the process, to prove that a break there loses and doubles nothing.
//!
//! Off unless `ARCHIPEL_FAIL_POINT=NAME:COUNT` is set *and* [`arm`] was called (the daemon does so under `--fail-points`
//! alone). At the `COUNT`-th passing of the point `NAME` the process aborts, as `kill -9` would end it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

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

//! sled may panic where it meets a broken file or disk. The daemon must not: every call into it goes through here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a call whose panic becomes an error.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls sled; a panic becomes an error's text. What the call was working on must not be used afterwards without care:
/// the writer opens the files anew, and a reading is simply not answered.
pub(super) fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    let before = IS_GUARDED.replace(true);
    let called = catch_unwind(AssertUnwindSafe(call));
    IS_GUARDED.set(before);
    match called {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Err(format!("the database gave up: {text}"))
        }
    }
}

/// From now on a panic inside sled is a line in the log and not a message on standard error: it is told as an error, with
/// the way out. Panics elsewhere are reported as before.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_its_own = std::thread::current().name().is_some_and(|name| name.starts_with("sled"));
            if IS_GUARDED.get() || is_its_own {
                tracing::debug!(%panic, "the database gave up");
            } else {
                before(panic);
            }
        }));
    });
}

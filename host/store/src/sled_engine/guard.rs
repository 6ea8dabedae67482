//! sled may panic where it meets a broken file or disk. The daemon must not: every call into it goes through here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls sled; a panic becomes an error's text. What the call was working on must not be used afterwards without care:
/// the writer opens the files anew, and a reading is simply not answered.
pub(super) fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Err(format!("the database gave up: {text}"))
        }
    }
}

//! The text of a panic reaches the host's log before the sandbox ends.
//!
//! A panic in a component is a trap, and a trap says only where. Every exported function passes through [`call`],
//! which sets the hook once per instance.

use crate::bindings::common::archipel::host::types as wit;
use crate::error::{Error, Result};

/// Runs one exported function.
pub(crate) fn call<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, wit::Error> {
    report();
    body().map_err(Error::into_wit)
}

/// Sets the panic hook, once.
pub(crate) fn report() {
    #[cfg(target_arch = "wasm32")]
    {
        static SET: std::sync::Once = std::sync::Once::new();
        SET.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let text = info.payload_as_str().unwrap_or("a panic without a text");
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                crate::log::write(crate::log::Level::Error, &format!("panic: {text}"), &[("at", &place)]);
            }));
        });
    }
}

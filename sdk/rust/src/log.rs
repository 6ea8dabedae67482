//! Lines for the site's log.
//!
//! The host keeps 200 lines and 64 KiB a call and counts what is more. Never log a credential: there is no need,
//! since a plugin holds handles only.

pub use crate::bindings::common::archipel::host::log::Level;

/// Writes one line with structured fields; the macros below are shorter. On a native build it goes to stderr.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    if cfg!(target_arch = "wasm32") {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        crate::bindings::common::archipel::host::log::write(level, message, &fields);
    } else {
        eprintln!("{level:?}: {message} {fields:?}");
    }
}

/// One line at a level: `log!(Level::Info, cloud = name; "adopted {count} instances")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($key:ident = $value:expr),+ ; $($message:tt)+) => {
        $crate::log::write(
            $level,
            &::std::format!($($message)+),
            &[$((::std::stringify!($key), &::std::string::ToString::to_string(&$value))),+],
        )
    };
    ($level:expr, $($message:tt)+) => {
        $crate::log::write($level, &::std::format!($($message)+), &[])
    };
}

/// A line for whoever debugs this plugin, in detail.
#[macro_export]
macro_rules! trace { ($($line:tt)+) => { $crate::log!($crate::log::Level::Trace, $($line)+) }; }

/// A line for whoever debugs this plugin.
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) }; }

/// A line that an administrator may want to read.
///
/// ```
/// archipel_sdk::info!("three instances adopted");
/// archipel_sdk::info!(cloud = "east", count = 3; "instances adopted");
/// ```
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) }; }

/// Something is odd, but the call goes on.
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) }; }

/// Something failed. An error that the call returns anyway needs no line of its own.
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) }; }

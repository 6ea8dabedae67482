//! The log: one line per event on standard error, for people or as JSON. Secrets have no way in: they cannot be printed.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{Format, ServeArgs};
use crate::output::Failure;

/// Begins to log.
///
/// # Errors
/// When the filter cannot be understood.
pub(crate) fn start(args: &ServeArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|error| {
        Failure::environment(format!(
            "--log-filter {:?}: {error}; write info, or info,archipel_runtime=debug",
            args.log_filter
        ))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match args.log {
        Format::Json => {
            log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| Failure::environment(format!("the log cannot be started: {error}")))
}

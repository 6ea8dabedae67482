//! The log: one line per event on standard error, for people or as JSON. Secrets have no way in: they cannot be printed.

use std::io::IsTerminal;

use archipel_model::SPAN;
use archipel_telemetry::Traces;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::{Format, ServeArgs};
use crate::output::Failure;

/// Begins to log, and to trace where that is wanted.
///
/// # Errors
/// When the filter cannot be understood.
pub(crate) fn start(args: &ServeArgs, traces: Option<&Traces>) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|error| {
        Failure::environment(format!(
            "--log-filter {:?}: {error}; write info, or info,archipel_runtime=debug",
            args.log_filter
        ))
    })?;
    // Spans are for traces; a line of the log names its request or order itself.
    let is_log = filter_fn(|metadata| metadata.target() != SPAN);
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match args.log {
        Format::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(traces.map(Traces::layer))
        .with(log.with_filter(filter.and(is_log)))
        .try_init();
    started.map_err(|error| Failure::environment(format!("the log cannot be started: {error}")))
}

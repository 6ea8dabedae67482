//! `archipel serve`: puts the site together, keeps it running, takes it apart.
//!
//! Up: configuration → log → data directory → keys → store → secrets, egress → plugins → identity, orders → doors.
//! Down, in the other direction: doors close and requests in work end; the scheduler writes what clouds answered;
//! plugins end; the store is closed last. A second signal ends the process at once: nothing acknowledged is lost by
//! that, because every acknowledgement followed a flush.

pub(crate) mod tls;

mod backups;
mod data_dir;
mod housekeeping;
mod logging;
mod plugins;
mod process;
mod reload;
mod signals;
mod site;
mod systemd;

use std::sync::Arc;

use archipel_model::{Clock, SystemClock};
use archipel_telemetry::Traces;

use crate::cli::{DoorArgs, ServeArgs};
use crate::config::Config;
use crate::output::{Answer, Outcome};
use signals::{Signals, Told};
use site::RunningSite;

pub(crate) async fn run(args: &ServeArgs, door: &DoorArgs) -> Outcome {
    let config = Config::load(&door.config)?;
    let traces = Traces::new(&config.telemetry, config.site.id.as_str(), env!("CARGO_PKG_VERSION"));
    logging::start(args, traces.as_ref())?;
    process::prepare();
    if args.fail_points
        && let Some(name) = archipel_model::fail::arm()
    {
        tracing::warn!(name, "a fail point is armed: this process will end there, on purpose");
    }
    let clock = clock(args);
    if args.fail_points
        && let Some(folder) = archipel_runtime::watch_memories()
    {
        tracing::warn!(folder = %folder.display(), "the memories of plugins are searched after each call");
    }
    let mut signals = Signals::listen()?;
    let site = tokio::select! {
        site = RunningSite::start(config, clock, traces) => site?,
        // Whatever is half started holds nothing that anybody was told of.
        () = stopped(&mut signals) => return Ok(Answer::Yes),
    };
    tracing::info!(site = %site.id, url = %site.url, version = env!("CARGO_PKG_VERSION"), "ready");
    systemd::ready();
    let watchdog = systemd::watchdog();
    loop {
        match signals.next().await {
            Told::Stop => break,
            Told::Reload => {
                systemd::reloading();
                reload(&site).await;
                systemd::ready();
            }
        }
    }
    systemd::stopping();
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = site.stop() => tracing::info!("stopped"),
        () = stopped(&mut signals) => tracing::warn!("stopped at once"),
    }
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    Ok(Answer::Yes)
}

/// The clock that the site goes by.
fn clock(args: &ServeArgs) -> Arc<dyn Clock> {
    if !args.fail_points {
        return Arc::new(SystemClock);
    }
    let (clock, file) = archipel_model::fail::clock();
    if let Some(file) = file {
        tracing::warn!(file = %file.display(), "the clock is set by a file, on purpose");
    }
    clock
}

async fn reload(site: &RunningSite) {
    match site.reload_on_signal().await {
        Ok(done) => {
            tracing::info!(generation = done.generation, changed = ?done.changed, needs_restart = ?done.needs_restart, "configuration taken");
        }
        Err(error) => {
            for reason in error.message.lines() {
                tracing::error!(reason, "configuration refused; the old one still serves");
            }
        }
    }
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Told::Stop {}
}

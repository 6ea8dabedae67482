//! `archipel bench`: a scenario runs here, in a sandbox of its own that counts fuel, and orders at the running site as the service
//! principal `monitor`. What it made and did not delete is deleted here, however it ended; and every order has a lease, so
//! that the site deletes it should this process be gone too.

mod broker;
mod shown;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use archipel_runtime::Compiler;
use archipel_workbench::measure;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::DoorArgs;
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer};
use broker::RestBroker;

/// How long the cleaning waits for each order to be closed.
const CLEANING: Duration = Duration::from_secs(120);

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Run a scenario once, against one cloud of a running site.
    ///
    /// It orders as the service principal `monitor` (issuer urn:archipel:built-in), which the site's policy judges like anybody.
    /// Exit code 1 where an iteration failed, or something of it is left.
    #[command(
        after_help = "Examples:\n  archipel bench run bench-machine --cloud emulated\n  archipel bench run ./my_bench.wasm --cloud east --iterations 20 --with '{\"spec\": {\"image\": \"@debian\"}}'"
    )]
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A file, or the name of a plugin in the site's folder.
    plugin: String,

    /// The cloud.
    #[arg(long, value_name = "NAME")]
    cloud: String,

    /// Iterations; as many as the scenario says where left out.
    #[arg(long, value_name = "N")]
    iterations: Option<u32>,

    /// The scenario's configuration.
    #[arg(long, value_name = "JSON")]
    with: Option<String>,
}

pub(crate) async fn run(command: &BenchCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    let BenchCommand::Run(args) = command;
    let config: Map<String, Value> = match &args.with {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::environment(format!("--with is no JSON object: {error}")))?,
        None => Map::new(),
    };
    let file: PathBuf = super::plugin::file_of(&args.plugin, door)?;
    let wasm = super::plugin::read(&file)?;
    let limits = Config::load(&door.config).map(|config| config.limits.plugins).unwrap_or_default();
    let broker = Arc::new(RestBroker::new(door.client()?, &args.cloud));
    let exe = std::env::current_exe().map_err(Failure::environment)?;
    let scenario = measure::scenario(config, args.iterations, limits, Compiler::Child { exe })
        .await
        .map_err(Failure::environment)?;
    let record = tokio::select! {
        record = scenario.run(wasm, Arc::clone(&broker) as _) => Some(record),
        // What it made is cleaned up all the same.
        _ = tokio::signal::ctrl_c() => None,
    };
    let cleaned = broker.clean(CLEANING).await?;
    let record = match record {
        Some(record) => record.map_err(|error| Failure::environment(error.message))?,
        None => return Err(Failure::environment("interrupted; what it had ordered was deleted")),
    };
    let is_good = record.error.is_none()
        && record.iterations.iter().all(|iteration| iteration.error.is_none())
        && cleaned.left.is_empty();
    let json = json!({
        "plugin": args.plugin, "cloud": args.cloud, "run": broker.run(), "ok": is_good, "record": record,
        "ordered": cleaned.ordered, "cleaned": cleaned.deleted, "left": cleaned.left,
    });
    printer.say(&shown::text(&record, &cleaned), &json);
    Ok(if is_good { Answer::Yes } else { Answer::No })
}

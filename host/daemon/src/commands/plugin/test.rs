//! `plugin test`: a plugin on the workbench. Its log goes to standard error, where a trap's frames are told too.

use std::io::IsTerminal;
use std::path::PathBuf;

use archipel_runtime::Compiler;
use archipel_workbench::{Case, Http, Options, Workbench, WorkbenchError, check, serve};
use clap::Args;
use serde_json::json;
use tokio::io::BufReader;

use crate::output::{Answer, Failure, Outcome, Printer};

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The component.
    file: PathBuf,

    /// What it is tested with: configuration, user, secrets, specs, recording (JSON); sdk/README.md tells all of it.
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,

    /// Let its requests leave, to where its grant allows, instead of answering them from the case's recording.
    #[arg(long)]
    live: bool,

    /// As --live, and write what is said into this file, without the case's secrets. Look at it before you keep it.
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    record: Option<PathBuf>,

    /// Answer calls on standard input instead, one line of JSON each: this is how the testkit drives it.
    #[arg(long)]
    serve: bool,

    /// What of its log is shown on standard error.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "warn,archipel_runtime::manager=error,archipel_vault::source=error",
        env = "ARCHIPEL_LOG"
    )]
    log_filter: String,
}

pub(super) async fn run(args: &TestArgs, printer: &Printer) -> Outcome {
    log(&args.log_filter)?;
    let case = match &args.case {
        Some(file) => Case::read(file).map_err(Failure::environment)?,
        None => Case::default(),
    };
    let http = match (&args.record, args.live) {
        (Some(file), _) => Http::Record(file.clone()),
        (None, true) => Http::Live,
        (None, false) => Http::Replay,
    };
    let exe = std::env::current_exe().map_err(Failure::environment)?;
    let options = Options { case, http, compiler: Compiler::Child { exe } };
    let bench = match Workbench::start(&args.file, options).await {
        Ok(bench) => bench,
        Err(WorkbenchError::Refused(reason)) => {
            printer.say(&format!("it cannot be tested: {reason}"), &json!({"ok": false, "refused": reason}));
            return Ok(Answer::No);
        }
        Err(error) => return Err(Failure::environment(error)),
    };
    if args.serve {
        let input = BufReader::new(tokio::io::stdin());
        serve(bench, input, tokio::io::stdout()).await.map_err(Failure::environment)?;
        return Ok(Answer::Yes);
    }
    let report = check(&bench).await;
    bench.stop().await.map_err(Failure::environment)?;
    let json = serde_json::to_value(&report).map_err(Failure::environment)?;
    printer.say(&report.to_string(), &json);
    Ok(if report.ok { Answer::Yes } else { Answer::No })
}

fn log(filter: &str) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(Failure::environment)?;
    let made = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    made.map_err(Failure::environment)
}

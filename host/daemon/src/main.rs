//! The binary `archipel`: command line, configuration, wiring, shutdown. The only crate that knows all others.

mod cli;
mod commands;
mod config;
mod door;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::output::{Answer, Failure, Outcome, Printer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The process that compiles plugins must do nothing else first, and is no command of people.
    if std::env::args_os().nth(1).is_some_and(|first| first == archipel_runtime::CHILD_ARG) {
        return archipel_runtime::compile_child_main();
    }
    let cli = Cli::parse();
    let printer = Printer { format: cli.output };
    match run(&cli, &printer) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            printer.complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: &Cli, printer: &Printer) -> Outcome {
    let runtime = match &cli.command {
        Command::Serve(_) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("archipel").build()
        }
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = runtime.map_err(|error| Failure::environment(format!("no threads: {error}")))?;
    runtime.block_on(async {
        match &cli.command {
            Command::Serve(args) => serve::run(args, &cli.door).await,
            Command::CheckConfig => commands::check_config::run(&cli.door, printer),
            Command::Doctor => commands::doctor::run(&cli.door, printer).await,
            Command::Token(args) => commands::token::run(args, &cli.door.client()?, printer).await,
            Command::Order(command) => commands::order::run(command, &cli.door.client()?, printer).await,
            Command::Events(command) => commands::events::run(command, &cli.door, printer).await,
            Command::Sweep(command) => commands::sweep::run(command, &cli.door.client()?, printer).await,
            Command::Bench(command) => commands::bench::run(command, &cli.door, printer).await,
            Command::Plugin(command) => commands::plugin::run(command, &cli.door, printer).await,
            Command::Secret(command) => commands::secret::run(command, &cli.door, printer),
            Command::Man { folder } => commands::manual::man(folder),
            Command::Completions { shell } => commands::manual::completions(*shell),
            Command::Usage(args) => commands::usage::run(args, &cli.door, printer).await,
            Command::Audit(command) => commands::audit::run(command, &cli.door, printer).await,
            Command::Store(command) => commands::store::run(command, &cli.door, printer).await,
        }
    })
}

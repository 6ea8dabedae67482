//! What people type in this repository: `cargo xtask demo`, `test`, `torture`, `bench`, `plugins`.
//!
//! This crate is small so that it starts at once. Whatever needs a site to talk to (demo, torture, peers) is in the
//! binary `archipel-lab` of `tests/`, which is built together with the host: one resolution of features, one build of
//! everything.

mod bench;
mod cargo;
mod demo;
mod peers;
mod places;
mod plugins;
mod steps;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, show, test and measure Archipel.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the plugins (wasm32-wasip2) and put them into TARGET/plugins/dist, named as they are dropped.
    Plugins {
        /// Those too that have a lock of their own, into TARGET/plugins/dist/apart: `examples/rego-policy`.
        #[arg(long)]
        all: bool,
    },

    /// Show a whole site at work: order, fulfil, swap the mapper while it serves, pull the plug, start again.
    ///
    /// Afterwards the site goes on serving until Ctrl-C, with lines to type printed.
    Demo {
        /// Stop after the walk; exit code 0 if all went as it must, else 1.
        #[arg(long)]
        once: bool,
        /// Serve on this port of 127.0.0.1 instead of a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },

    /// Everything that needs no foreign server: format, clippy, tests, demo, kill test. With --peers, only those.
    Test {
        /// Check against real software instead: `schemathesis`, `openstack`.
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        peers: Vec<String>,
    },

    /// Kill a loaded site again and again, stop it and set its clock, and compare what clients were told with what store and
    /// cloud hold.
    Torture {
        /// How often to kill.
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// How many clients order and delete meanwhile.
        #[arg(long, default_value_t = 16)]
        clients: usize,
        /// Where the random choices start; printed, so that a run can be repeated.
        #[arg(long)]
        seed: Option<u64>,
    },

    /// Measure, and print one JSON row per figure: ours, the baseline of the same run, ratio, goal, met.
    Bench {
        /// Which groups: bench targets (`plugins`, `requests`, ...), `build` for build times, `orders` beside a PostgreSQL,
        /// `clouds` over a real OpenStack. All bench targets if none is named.
        groups: Vec<String>,
        /// Write the rows into this file too, as one JSON list.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Plugins { all } => {
            plugins::build()?;
            if all {
                plugins::build_apart()?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { once, port } => demo::run(once, port),
        Command::Test { peers } if peers.is_empty() => test::run(),
        Command::Test { peers } => peers::run(&peers),
        Command::Torture { rounds, clients, seed } => demo::torture(rounds, clients, seed),
        Command::Bench { groups, json } => bench::run(&groups, json.as_deref()),
    }
}

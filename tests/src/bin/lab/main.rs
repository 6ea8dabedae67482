//! What `cargo xtask` hands over to: everything that needs a site to talk to. Run it through xtask, which builds what it
//! needs first.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it stops at the first thing that is not as it must be"
)]

mod clouds_bench;
mod demo;
mod kafka_story;
mod openstack_story;
mod orders_bench;
mod otlp_story;
mod say;
mod torture;
mod with_site;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Sites to look at, to kill, and to point other programs at.
#[derive(Debug, Parser)]
enum Lab {
    /// Show a whole site at work.
    Demo(demo::Options),
    /// Kill a loaded site again and again.
    Torture(torture::Options),
    /// Walk through the whole story of a site over a real OpenStack that is up.
    OpenstackStory(openstack_story::Options),
    /// Send a site's events to a broker that goes away, from a daemon that is killed.
    KafkaStory(kafka_story::Options),
    /// Send a site's telemetry through a collector.
    OtlpStory(otlp_story::Options),
    /// Measure machines made by a site beside the same made by others.
    CloudsBench(clouds_bench::Options),
    /// Measure how fast orders are made durable beside PostgreSQL, and what a store with very many of them costs.
    OrdersBench(orders_bench::Options),
    /// Run a program with a site beside it, which it finds in ARCHIPEL_* variables.
    WithSite {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let went_well = match Lab::parse() {
        Lab::Demo(options) => demo::run(options).await,
        Lab::Torture(options) => torture::run(options).await,
        Lab::OpenstackStory(options) => openstack_story::run(options).await,
        Lab::KafkaStory(options) => kafka_story::run(&options).await,
        Lab::OtlpStory(options) => otlp_story::run(&options).await,
        Lab::CloudsBench(options) => clouds_bench::run(options).await,
        Lab::OrdersBench(options) => orders_bench::run(options).await,
        Lab::WithSite { command } => with_site::run(&command).await,
    };
    match went_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

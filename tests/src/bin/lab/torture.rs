//! The kill test from the command line.

use std::time::Instant;

use anyhow::Result;
use archipel_tests::torture::{self, Torture};

/// How to torture.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    #[arg(long, default_value_t = 16)]
    clients: usize,
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) async fn run(options: Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(rand::random);
    println!("{} rounds, {} clients, seed {seed}", options.rounds, options.clients);
    let began = Instant::now();
    let torture = Torture { rounds: options.rounds, clients: options.clients, seed };
    let verdict =
        torture::run(&torture, |line| println!("{:>7.1} s  {line}", began.elapsed().as_secs_f64())).await?;
    println!("{verdict}");
    if !verdict.is_clean() {
        println!(
            "to try again: cargo xtask torture --rounds {} --clients {} --seed {seed}",
            options.rounds, options.clients
        );
    }
    Ok(verdict.is_clean())
}

//! `cargo xtask demo` and `cargo xtask torture`: builds what they need and hands over to `archipel-lab`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{cargo, places, plugins};

/// Builds host and plugins, and shows them.
pub(crate) fn run(once: bool, port: u16) -> Result<ExitCode> {
    let port = port.to_string();
    let mut arguments = vec!["demo", "--port", &port];
    if once {
        arguments.push("--once");
    }
    hand_over(&arguments)
}

/// Builds host and plugins, and kills them.
pub(crate) fn torture(rounds: usize, clients: usize, seed: Option<u64>) -> Result<ExitCode> {
    let mut arguments =
        vec!["torture".to_owned(), format!("--rounds={rounds}"), format!("--clients={clients}")];
    arguments.extend(seed.map(|seed| format!("--seed={seed}")));
    hand_over(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The lab takes this process's place, so that Ctrl-C and exit codes are its own.
fn hand_over(arguments: &[&str]) -> Result<ExitCode> {
    println!("building the plugins and the host; the first time this takes some minutes");
    plugins::build()?;
    cargo::run(cargo::build_host()?.arg("--quiet"))?;
    let error = lab(arguments)?.exec();
    Err(error).context("starting archipel-lab")
}

/// The lab with these arguments.
pub(crate) fn lab(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(places::binary("archipel-lab")?);
    command.args(arguments).current_dir(places::workspace());
    Ok(command)
}

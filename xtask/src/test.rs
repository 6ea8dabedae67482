//! `cargo xtask test`: everything that needs no foreign server.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build_host, cargo, cargo_for_plugins};
use crate::steps::{self, Step, last_line_with};
use crate::{demo, plugins};

/// Rounds of the kill test.
const ROUNDS: &str = "--rounds=20";

/// Runs all steps.
pub(crate) fn run() -> Result<ExitCode> {
    let mut all = vec![
        Step::new("format", with(cargo()?, &["fmt", "--all", "--check"])),
        Step::new(
            "clippy",
            with(cargo()?, &["clippy", "--all-targets", "--keep-going", "--", "-D", "warnings"]),
        ),
        Step::new("clippy-plugins", clippy_for_plugins()?),
    ];
    all.extend(builds()?);
    all.push(tests()?);
    all.push(Step::new("doc-tests", with(cargo()?, &["test", "--doc", "--workspace"])));
    all.push(
        Step::new("demo", demo::lab(&["demo", "--once"])?)
            .needs(&["plugins", "host"])
            .note(|text| last_line_with(text, &["demo"])),
    );
    all.push(
        Step::new("torture", demo::lab(&["torture", ROUNDS])?)
            .needs(&["plugins", "host"])
            .note(|text| last_line_with(text, &["compared"])),
    );
    steps::run(all)
}

/// What everything that starts a site needs.
pub(crate) fn builds() -> Result<[Step; 2]> {
    let mut plugins = Command::new(std::env::current_exe()?);
    plugins.arg("plugins");
    Ok([Step::new("plugins", plugins), Step::new("host", build_host()?)])
}

fn clippy_for_plugins() -> Result<Command> {
    plugins::make_sure_of_target()?;
    let mut command = with(cargo_for_plugins()?, &["clippy", "--target", plugins::TARGET]);
    for package in plugins::packages()? {
        command.args(["--package", &package]);
    }
    Ok(with(command, &["--", "-D", "warnings"]))
}

/// All tests of all packages, whole-system tests and the plugins' own (which run natively) among them.
fn tests() -> Result<Step> {
    let has_nextest =
        cargo()?.args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let arguments: &[&str] = if has_nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]
    };
    Ok(Step::new("tests", with(cargo()?, arguments))
        .needs(&["plugins", "host"])
        .note(|text| last_line_with(text, &["Summary", "test result:"])))
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

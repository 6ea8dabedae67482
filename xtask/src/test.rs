//! `cargo xtask test`: everything that needs no foreign server.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build_host, cargo, cargo_for_plugins};
use crate::steps::{self, Step, last_line_with};
use crate::{demo, plugins};

/// The kill test, short.
const TORTURE: [&str; 3] = ["torture", "--rounds=20", "--clients=8"];

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
    all.push(Step::new("tests", tests(cargo()?, &[])?).needs(&["plugins", "host"]).note(summary));
    all.push(Step::new("doc-tests", with(cargo()?, &["test", "--doc"])));
    // Apart, because the build-time dependencies of plugins would have wasmtime's macros, and so wasmtime, built again.
    let guests = guests()?;
    all.push(Step::new("tests-plugins", tests(cargo()?, &guests)?).note(summary));
    all.push(Step::new("doc-tests-sdk", with(cargo()?, &["test", "--doc", "--package", "archipel-sdk"])));
    all.push(
        Step::new("demo", demo::lab(&["demo", "--once"])?)
            .needs(&["plugins", "host"])
            .note(|text| last_line_with(text, &["demo"])),
    );
    all.push(
        Step::new("torture", demo::lab(&TORTURE)?)
            .needs(&["plugins", "host"])
            .note(|text| last_line_with(text, &["compared"])),
    );
    steps::run(all)
}

/// What everything that starts a site needs.
pub(crate) fn builds() -> Result<[Step; 2]> {
    let mut plugins = Command::new(std::env::current_exe()?);
    plugins.args(["plugins", "--all"]);
    Ok([Step::new("plugins", plugins), Step::new("host", build_host()?)])
}

fn clippy_for_plugins() -> Result<Command> {
    plugins::make_sure_of_target()?;
    // The hostile corpus is made of examples.
    let mut command =
        with(cargo_for_plugins()?, &["clippy", "--target", plugins::TARGET, "--lib", "--examples"]);
    for package in plugins::packages()?.iter().map(String::as_str).chain([plugins::CORPUS]) {
        command.args(["--package", package]);
    }
    Ok(with(command, &["--", "-D", "warnings"]))
}

/// The tests of `packages` (none: the host's, the whole-system tests among them).
fn tests(mut command: Command, packages: &[String]) -> Result<Command> {
    let has_nextest =
        cargo()?.args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let arguments: &[&str] = if has_nextest {
        &["nextest", "run", "--no-fail-fast"]
    } else {
        &["test", "--no-fail-fast", "--lib", "--bins", "--tests"]
    };
    command.args(arguments).args(packages);
    Ok(command)
}

/// What is written for plugins and runs natively too: the SDK, what plugins share, and their own logic.
fn guests() -> Result<Vec<String>> {
    let shared = ["archipel-sdk", "archipel-keystone"].map(str::to_owned);
    let packages = plugins::packages()?.into_iter().chain(shared);
    Ok(packages.flat_map(|package| ["--package".to_owned(), package]).collect())
}

/// The runner's own last word.
fn summary(text: &str) -> Option<&str> {
    last_line_with(text, &["Summary", "test result:"])
}

fn with<A: AsRef<std::ffi::OsStr>>(mut command: Command, arguments: &[A]) -> Command {
    command.args(arguments);
    command
}

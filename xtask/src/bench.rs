//! `cargo xtask bench`: runs the bench targets of the host and prints their figures.
//!
//! A bench prints a line for each figure, and xtask adds what follows from it:
//!
//! ```text
//! archipel-bench: {"id":"P1","what":"...","ours":12.1,"baseline":10.4,"unit":"us","goal":"<=1.25"}
//! ```
//! Here `ours` and `baseline` come from one run, `ratio` is their quotient unless the bench gives it, and `met` compares
//! the ratio with the goal (`<=` or `>=` and a number; none = no goal). Other members are kept.
//!
//! Benches are built in the profile `dev` with our own crates fully optimised: dependencies are optimised there already,
//! so wasmtime is not built once more.

mod build_times;
mod extism;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{cargo, places, plugins};

/// What a line with a figure begins with.
const MARKER: &str = "archipel-bench:";

/// The group that xtask measures itself.
const BUILD: &str = "build";

/// Groups that need a peer: its `bench` brings it up, and hands over to `archipel-lab`.
const WITH_PEER: [(&str, &str); 2] = [("orders", "postgres"), ("clouds", "openstack")];

/// Our own crates as a release would have them, those too that have a level of their own in `dev`.
const OPTIMISED: [&str; 8] = [
    "--config=profile.dev.opt-level=3",
    "--config=profile.dev.package.archipel-orders.opt-level=3",
    "--config=profile.dev.package.archipel-store.opt-level=3",
    "--config=profile.dev.debug-assertions=false",
    "--config=profile.dev.overflow-checks=false",
    "--config=profile.dev.incremental=false",
    "--profile",
    "dev",
];

/// Runs the groups, or all bench targets, and prints a row per figure. A group is a bench target by its name, or all whose
/// names begin with it and a dash, and what needs the peer of that name. Exit code 1 where a goal is missed.
pub(crate) fn run(groups: &[String], json: Option<&Path>) -> Result<ExitCode> {
    let benches: Vec<String> = cargo::targets()?
        .into_iter()
        .filter(|target| target.is("bench") && target.folder.starts_with(places::workspace().join("host")))
        .map(|target| target.name)
        .collect();
    let known: Vec<&str> = benches
        .iter()
        .flat_map(|bench| [bench.split('-').next().unwrap_or(bench), bench])
        .chain(WITH_PEER.map(|(group, _)| group))
        .chain([BUILD])
        .collect();
    if let Some(unknown) = groups.iter().find(|group| !known.contains(&group.as_str())) {
        bail!("there is no group {unknown:?}; there are: {}", known.join(", "));
    }
    plugins::build()?;
    let mut rows = Vec::new();
    let is_wanted = |bench: &str| {
        let is_of = |group: &String| bench == group || bench.split('-').next() == Some(group);
        groups.is_empty() || groups.iter().any(is_of)
    };
    for bench in benches.iter().filter(|bench| is_wanted(bench)) {
        eprintln!("== {bench}");
        if bench.starts_with("plugins") {
            plugins::build_apart()?;
        }
        let mut command = cargo::cargo()?;
        if bench == extism::BENCH {
            extism::build_for(&mut command)?;
        }
        measure(command.args(["bench", "--quiet", "--bench", bench]).args(OPTIMISED), &mut rows)?;
    }
    for (group, peer) in WITH_PEER.iter().filter(|(name, _)| groups.iter().any(|group| group == name)) {
        eprintln!("== {group}");
        cargo::run(cargo::build_host()?.arg("--quiet").args(OPTIMISED))?;
        let mut bench = Command::new(places::workspace().join("tests/peers").join(peer).join("bench"));
        measure(bench.env("ARCHIPEL_LAB", places::binary("archipel-lab")?), &mut rows)?;
    }
    if groups.iter().any(|group| group == BUILD) {
        for figure in build_times::measure()? {
            tell(figure, &mut rows);
        }
    }
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    let missed = rows.iter().filter(|row| row.get("met") == Some(&Value::Bool(false))).count();
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs what prints figures.
fn measure(command: &mut Command, rows: &mut Vec<Value>) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", cargo::shown(command)))?;
    let output = child.stdout.take().context("the bench's output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.trim().strip_prefix(MARKER) {
            Some(figure) => {
                let figure =
                    serde_json::from_str(figure).with_context(|| format!("reading the figure {figure}"))?;
                tell(figure, rows);
            }
            None => eprintln!("   {line}"),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", cargo::shown(command));
    }
    Ok(())
}

fn tell(figure: Value, rows: &mut Vec<Value>) {
    let row = complete(figure);
    println!("{row}");
    rows.push(row);
}

/// Adds `ratio` and `met`.
fn complete(mut figure: Value) -> Value {
    let number = |key: &str| figure.get(key).and_then(Value::as_f64);
    let ratio = number("ratio").or_else(|| Some(number("ours")? / number("baseline")?));
    let ratio = ratio.filter(|ratio| ratio.is_finite()).map(|ratio| (ratio * 1000.0).round() / 1000.0);
    let goal = figure.get("goal").and_then(Value::as_str).and_then(parse_goal);
    let met = ratio
        .zip(goal)
        .map(|(ratio, (is_upper, bound))| if is_upper { ratio <= bound } else { ratio >= bound });
    if let Some(members) = figure.as_object_mut() {
        members.insert("ratio".to_owned(), json!(ratio));
        members.insert("met".to_owned(), json!(met));
    }
    figure
}

/// `<=1.25` or `>=0.5`.
fn parse_goal(text: &str) -> Option<(bool, f64)> {
    let number = |rest: &str| rest.trim_end_matches(['x', '×']).trim().parse().ok();
    match (text.strip_prefix("<="), text.strip_prefix(">=")) {
        (Some(rest), _) => Some((true, number(rest)?)),
        (_, Some(rest)) => Some((false, number(rest)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_and_met_follow_from_the_figure() {
        let row = complete(json!({"id": "P1", "ours": 12.0, "baseline": 10.0, "goal": "<=1.25"}));
        assert_eq!((&row["ratio"], &row["met"]), (&json!(1.2), &json!(true)));
        let row = complete(json!({"id": "P2b", "ours": 4.0, "baseline": 10.0, "goal": ">=0.5"}));
        assert_eq!(row["met"], json!(false));
        let row = complete(json!({"id": "B1", "ours": 4.0, "baseline": null}));
        assert_eq!((&row["ratio"], &row["met"]), (&Value::Null, &Value::Null));
    }
}

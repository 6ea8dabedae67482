//! A list of commands, run one after the other, with a table at the end. Each one's output goes to a log and is shown
//! only when it fails; meanwhile a line now and then tells that it is alive.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{cargo, places};

/// How often a step that is still running is mentioned.
const PULSE: Duration = Duration::from_secs(30);

/// How many lines of a failed step's log are shown.
const TAIL: usize = 400;

/// One command.
pub(crate) struct Step {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What is run.
    pub(crate) command: Command,
    /// Steps without which it makes no sense.
    pub(crate) needs: &'static [&'static str],
    /// Finds a line of its output that is worth a place in the table.
    pub(crate) note: fn(&str) -> Option<&str>,
}

impl Step {
    /// A step without a note.
    pub(crate) fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, needs: &[], note: |_| None }
    }

    /// With the steps that it needs.
    pub(crate) fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }

    /// With a note: the last line that contains `word`.
    pub(crate) fn note(mut self, note: fn(&str) -> Option<&str>) -> Self {
        self.note = note;
        self
    }
}

/// The last line that holds one of the words.
pub(crate) fn last_line_with<'t>(text: &'t str, words: &[&str]) -> Option<&'t str> {
    text.lines().rev().find(|line| words.iter().any(|word| line.contains(word))).map(str::trim)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    Skipped,
}

struct Row {
    name: &'static str,
    end: End,
    took: Duration,
    note: String,
}

/// Runs all of them, prints the table last, and gives the exit code.
pub(crate) fn run(steps: Vec<Step>) -> Result<ExitCode> {
    let logs = places::target_dir()?.join("xtask");
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    let began = Instant::now();
    let mut rows: Vec<Row> = Vec::new();
    let mut broken = BTreeSet::new();
    for step in steps {
        let row = if step.needs.iter().any(|name| broken.contains(name)) {
            Row {
                name: step.name,
                end: End::Skipped,
                took: Duration::ZERO,
                note: format!("needs {}", step.needs.join(", ")),
            }
        } else {
            run_one(step, &logs)?
        };
        if row.end != End::Passed {
            broken.insert(row.name);
        }
        rows.push(row);
    }
    println!();
    for row in &rows {
        let end = match row.end {
            End::Passed => "ok",
            End::Failed => "FAILED",
            End::Skipped => "skipped",
        };
        println!("{:<16} {end:<8} {:>8}  {}", row.name, seconds(row.took), row.note);
    }
    let failed = rows.iter().filter(|row| row.end != End::Passed).count();
    let verdict = if failed == 0 {
        "all passed".to_owned()
    } else {
        format!("{failed} of {} did not pass", rows.len())
    };
    println!(
        "{:<16} {:<8} {:>8}  {verdict}",
        "total",
        if failed == 0 { "ok" } else { "FAILED" },
        seconds(began.elapsed())
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(mut step: Step, logs: &Path) -> Result<Row> {
    println!("== {}: {}", step.name, cargo::shown(&step.command));
    let log = logs.join(format!("{}.log", step.name));
    let began = Instant::now();
    let ended = run_logged(&mut step.command, &log, began)?;
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let note = (step.note)(&text).unwrap_or_default().to_owned();
    let end = if ended { End::Passed } else { End::Failed };
    if end == End::Failed {
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
        println!(
            "{}\n   FAILED after {}; the whole log is {}",
            shown.join("\n"),
            seconds(took),
            log.display()
        );
    } else {
        println!("   ok, {}", seconds(took));
    }
    Ok(Row { name: step.name, end, took, note })
}

fn run_logged(command: &mut Command, log: &PathBuf, began: Instant) -> Result<bool> {
    let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            writeln!(&file, "{} cannot be started: {error}", cargo::shown(command))?;
            return Ok(false);
        }
    };
    let mut told = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(50));
        if told.elapsed() > PULSE {
            told = Instant::now();
            let text =
                fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            println!(
                "   {}: {}",
                seconds(began.elapsed()),
                last.trim().chars().take(110).collect::<String>()
            );
        }
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_the_last_line_that_fits() {
        let text = "a: 1 passed\nb\n  c: 2 passed  \nend";
        assert_eq!(last_line_with(text, &["passed"]), Some("c: 2 passed"));
        assert_eq!(last_line_with(text, &["lost"]), None);
    }
}

//! A plugin on the workbench: `archipel plugin test --serve`, driven over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Archipel, Error};

/// A plugin in the real runtime, with a clock that is turned by hand, random numbers that repeat, and HTTP from a recording.
/// It ends when it is dropped. Its log goes to the test's standard error.
#[derive(Debug)]
pub struct Bench {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Archipel {
    /// Puts a component on the workbench, with a case: its configuration, user, secrets, specs and recording.
    ///
    /// # Errors
    /// [`Error::Refused`] when no site would take the component; [`Error::Bench`] when the case is of no use.
    pub fn bench(&self, component: impl AsRef<Path>, case: impl AsRef<Path>) -> Result<Bench, Error> {
        self.bench_with(component, case, &[])
    }

    /// The same with options of `archipel plugin test`, e.g. `["--live"]`.
    ///
    /// # Errors
    /// As [`Archipel::bench`].
    pub fn bench_with(
        &self,
        component: impl AsRef<Path>,
        case: impl AsRef<Path>,
        options: &[&str],
    ) -> Result<Bench, Error> {
        let mut child = self
            .command()
            .args(["--output", "json", "plugin", "test", "--serve", "--case"])
            .arg(case.as_ref())
            .args(options)
            .arg(component.as_ref())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Bench("it has no input and output".to_owned()));
        };
        let mut bench = Bench { child, input: Some(input), output: BufReader::new(output) };
        let first = bench.line()?;
        match (first.get("ready"), first.get("refused").and_then(Value::as_str)) {
            (Some(_), _) => Ok(bench),
            (None, Some(reason)) => Err(Error::Refused(reason.to_owned())),
            (None, None) => Err(Error::Bench(first.to_string())),
        }
    }
}

impl Bench {
    /// Runs the contract tests of every interface that the plugin exports.
    ///
    /// # Errors
    /// [`Error::Contract`] with every sentence that does not hold.
    pub fn contract(&mut self) -> Result<(), Error> {
        let report = self.contract_report()?;
        if report.get("ok") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        let word = |finding: &Value, key: &str| {
            finding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let broken = findings.iter().filter(|finding| word(finding, "outcome") == "failed").map(|finding| {
            format!(
                "{}: {}\n    {}",
                word(finding, "interface"),
                word(finding, "contract"),
                word(finding, "reason")
            )
        });
        Err(Error::Contract(broken.collect::<Vec<_>>().join("\n")))
    }

    /// The same as JSON: `{"ok": bool, "findings": [{"interface", "contract", "outcome", "reason"?}]}`.
    ///
    /// # Errors
    /// [`Error::Bench`] when the workbench is gone.
    pub fn contract_report(&mut self) -> Result<Value, Error> {
        self.call("contract", json!({}))
    }

    /// Calls one function of the plugin, e.g. `("authorization.is-authorized", json!({"operation": "create"}))`. What is left
    /// out comes from the case. `archipel-workbench`'s `call.rs` has the list, sdk/README.md examples.
    ///
    /// # Errors
    /// [`Error::Plugin`] with the plugin's own typed error; [`Error::Bench`] when there is no such call.
    pub fn call(&mut self, name: &str, with: Value) -> Result<Value, Error> {
        let gone = || Error::Bench("the workbench is gone; its log says why".to_owned());
        let input = self.input.as_mut().ok_or_else(gone)?;
        input
            .write_all(format!("{}\n", json!({"call": name, "with": with})).as_bytes())
            .and_then(|()| input.flush())
            .map_err(|_| gone())?;
        let mut answer = self.line()?;
        if let Some(value) = answer.get_mut("ok") {
            return Ok(value.take());
        }
        match answer.get("error") {
            Some(error) => Err(Error::plugin(error)),
            None => Err(Error::Bench(
                answer.get("misuse").and_then(Value::as_str).unwrap_or("no answer").to_owned(),
            )),
        }
    }

    /// Lets time pass: the plugin's clocks and the validity of its tokens. Deadlines of calls go by real time.
    ///
    /// # Errors
    /// [`Error::Bench`] when the workbench is gone.
    pub fn turn_clock(&mut self, by: Duration) -> Result<(), Error> {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.call("clock.turn", json!({ "ms": ms })).map(drop)
    }

    fn line(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| {
            // What it had to say is on standard error, the test's own.
            Error::Bench(if line.is_empty() { "it ended; its last words are above".to_owned() } else { line })
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The end of its input ends it, after it has written what it records.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

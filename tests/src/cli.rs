//! The command line as people and scripts use it.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::built;
use crate::site::Site;

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Standard output as a JSON document per line.
    pub fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {self:?}")))
            .collect()
    }

    /// The same, after a look at the exit code.
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// `archipel`, untouched by what the developer's environment says about another site.
///
/// # Errors
/// When it was not built.
pub fn program() -> Result<Command> {
    let mut command = Command::new(built::archipel()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ARCHIPEL") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs `archipel` with these arguments.
///
/// # Errors
/// When it cannot be started.
pub fn archipel(arguments: &[&str]) -> Result<Ran> {
    run(program()?.args(arguments))
}

/// Runs it with more than arguments.
///
/// # Errors
/// When it cannot be started.
pub fn run(command: &mut Command) -> Result<Ran> {
    let output = command.output().context("starting archipel")?;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl Site {
    /// Runs `archipel` for this site: `--config` is given.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn archipel(&self, arguments: &[&str]) -> Result<Ran> {
        run(program()?.arg("--config").arg(self.file()).args(arguments))
    }
}

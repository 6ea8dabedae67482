//! What a command answers, for people or for programs, and its exit code: 0 yes, 1 no, 2 usage or environment.

use std::io::Write;

use archipel_client::ClientError;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::config::ConfigError;

/// A command's end.
pub(crate) type Outcome = Result<Answer, Failure>;

/// A command's answer to the question that it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1.
    No,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The site said no. Exit code 1.
    Refused {
        /// For people.
        message: String,
        /// The problem document.
        problem: Value,
    },
    /// It cannot be found out from here. Exit code 2.
    Environment(String),
}

impl Failure {
    pub(crate) fn environment(message: impl std::fmt::Display) -> Self {
        Self::Environment(message.to_string())
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } => 1,
            Self::Environment(_) => 2,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refused) => {
                Self::Refused { message: refused.to_string(), problem: refused.problem }
            }
            // A socket that nobody listens at was left by a daemon that was killed.
            ClientError::NoAnswer { door, reason } if door.starts_with('/') => Self::Environment(format!(
                "no answer from {door}: {reason}; is the site running? `archipel serve` starts it"
            )),
            other => Self::Environment(other.to_string()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Environment(error.to_string())
    }
}

/// Writes answers to standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
}

impl Printer {
    /// Writes one answer. A reader that has gone away (`| head`) is no failure.
    pub(crate) fn say(&self, text: &str, json: &Value) {
        let mut out = std::io::stdout().lock();
        let _ = match self.format {
            Format::Text => writeln!(out, "{text}"),
            Format::Json => writeln!(out, "{json}"),
        };
    }

    /// Writes why there is no answer to standard error.
    pub(crate) fn complain(&self, failure: &Failure) {
        let mut out = std::io::stderr().lock();
        let _ = match (self.format, failure) {
            (Format::Text, Failure::Refused { message, .. } | Failure::Environment(message)) => {
                writeln!(out, "{message}")
            }
            (Format::Json, Failure::Refused { message, problem }) => {
                writeln!(out, "{}", json!({"error": message, "problem": problem}))
            }
            (Format::Json, Failure::Environment(message)) => writeln!(out, "{}", json!({ "error": message })),
        };
    }
}

/// Rows under headings, as wide as they need to be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heading.len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows =
            [vec!["1".to_owned(), "fulfilled".to_owned()], vec!["12345".to_owned(), "open".to_owned()]];
        assert_eq!(table(&["ID", "STATE"], &rows), "ID     STATE\n1      fulfilled\n12345  open");
    }
}

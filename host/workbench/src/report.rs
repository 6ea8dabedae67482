//! What contract tests found.

use std::fmt;

use serde::Serialize;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The contract holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried with this case.
    Skipped,
}

/// One test of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The interface, e.g. `authorization`.
    pub interface: &'static str,
    /// The sentence of the contract that was tested.
    pub contract: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a test did not pass.
#[derive(Clone, Debug)]
pub(crate) enum Miss {
    Failed(String),
    Skipped(String),
}

/// How a test ends.
pub(crate) type Tested<T = ()> = Result<T, Miss>;

/// The contract does not hold.
pub(crate) fn fail<T>(reason: impl Into<String>) -> Tested<T> {
    Err(Miss::Failed(reason.into()))
}

/// It cannot be tried.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Tested<T> {
    Err(Miss::Skipped(reason.into()))
}

/// Fails with these words unless it is so.
pub(crate) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Tested {
    if is_so { Ok(()) } else { fail(otherwise()) }
}

/// All findings of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing failed.
    pub ok: bool,
    /// In the order in which they were tried.
    pub findings: Vec<Finding>,
}

impl Report {
    /// A report without findings.
    pub(crate) fn new() -> Self {
        Self { ok: true, findings: Vec::new() }
    }

    /// Notes how a test ended; gives what it made, for the tests that rest on it.
    pub(crate) fn note<T>(
        &mut self,
        interface: &'static str,
        contract: &'static str,
        tested: Tested<T>,
    ) -> Option<T> {
        let (outcome, reason, made) = match tested {
            Ok(made) => (Outcome::Passed, None, Some(made)),
            Err(Miss::Skipped(reason)) => (Outcome::Skipped, Some(reason), None),
            Err(Miss::Failed(reason)) => (Outcome::Failed, Some(reason), None),
        };
        self.ok &= outcome != Outcome::Failed;
        self.findings.push(Finding { interface, contract, outcome, reason });
        made
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut interface = "";
        for finding in &self.findings {
            if finding.interface != interface {
                interface = finding.interface;
                writeln!(f, "{interface}")?;
            }
            let mark = match finding.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            write!(f, "  {mark:<8} {}", finding.contract)?;
            match &finding.reason {
                Some(reason) => writeln!(f, "\n           {reason}")?,
                None => writeln!(f)?,
            }
        }
        let (passed, failed, skipped) =
            (self.count(Outcome::Passed), self.count(Outcome::Failed), self.count(Outcome::Skipped));
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_fails_nothing_and_what_fails_is_told() {
        let mut report = Report::new();
        report.note("mapper", "the account is stable", Ok(()));
        report.note::<()>("mapper", "accounts have tokens", skip("there is no recording"));
        assert!(report.ok);
        assert_eq!(report.note::<()>("mapper", "attributes are JSON", fail("they are not")), None);
        assert!(!report.ok);
        let text = report.to_string();
        assert!(text.contains("FAILED   attributes are JSON\n           they are not"), "{text}");
        assert!(text.ends_with("1 passed, 1 failed, 1 skipped"), "{text}");
    }
}

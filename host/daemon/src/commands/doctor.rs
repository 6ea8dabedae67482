//! `archipel doctor`: looks at everything that a site stands on, and says for each thing that is wrong what to do.
//!
//! It changes nothing and needs no running site; where one runs, it is asked too.

mod clouds;
mod machine;
mod publishers;
mod site;

use serde_json::json;

use crate::cli::DoorArgs;
use crate::config::Config;
use crate::output::{Answer, Outcome, Printer};

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// The site runs, but look at it.
    Doubtful,
    /// The site does not run like this.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
struct Finding {
    what: &'static str,
    state: State,
    says: String,
    to_do: Option<String>,
}

impl Finding {
    fn good(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, state: State::Good, says: says.into(), to_do: None }
    }

    fn doubtful(what: &'static str, says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { what, state: State::Doubtful, says: says.into(), to_do: Some(to_do.into()) }
    }

    fn bad(what: &'static str, says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { what, state: State::Bad, says: says.into(), to_do: Some(to_do.into()) }
    }

    fn line(&self) -> String {
        let mark = match self.state {
            State::Good => "ok  ",
            State::Doubtful => "look",
            State::Bad => "BAD ",
        };
        let to_do = self.to_do.as_ref().map(|to_do| format!("\n{:24}-> {to_do}", "")).unwrap_or_default();
        format!("{mark}  {:<16}  {}{to_do}", self.what, self.says)
    }

    fn json(&self) -> serde_json::Value {
        let state = match self.state {
            State::Good => "good",
            State::Doubtful => "doubtful",
            State::Bad => "bad",
        };
        json!({"what": self.what, "state": state, "says": self.says, "to_do": self.to_do})
    }
}

pub(crate) async fn run(door: &DoorArgs, printer: &Printer) -> Outcome {
    let mut findings = machine::look();
    match Config::load(&door.config) {
        Ok(config) => findings.extend(site::look(&config).await),
        Err(error) => findings.push(Finding::bad(
            "site file",
            error.to_string().replace('\n', &format!("\n{:24}", "")),
            "correct it; `archipel check-config` tells when it is right",
        )),
    }
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    let doubtful = findings.iter().filter(|finding| finding.state == State::Doubtful).count();
    let lines: Vec<String> = findings.iter().map(Finding::line).collect();
    let sum = match (bad, doubtful) {
        (0, 0) => "all is well".to_owned(),
        (0, n) => format!("the site can run; {n} to look at"),
        (n, _) => format!("{n} to put right before the site can run well"),
    };
    let json = json!({"ok": bad == 0, "findings": findings.iter().map(Finding::json).collect::<Vec<_>>()});
    printer.say(&format!("{}\n\n{sum}", lines.join("\n")), &json);
    Ok(if bad == 0 { Answer::Yes } else { Answer::No })
}

//! Faults that the configuration asks for, and when one strikes.
//!
//! The first rule that matches decides. With a `seed`, whether a `rate` strikes is a function of seed, rule, order,
//! operation and attempt, so a run can be repeated; without one it is chance. `request` knows its attempt; for other
//! operations the calls about one order are counted in storage, and only where a rule needs the number.

use crate::naming::mix;
use crate::power::Action;
use archipel_sdk::{Applied, Error, ErrorKind, Result};
use serde::Deserialize;
use std::time::Duration;

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    kind: Option<Subject>,
    #[serde(default)]
    operation: Operation,
    mode: Mode,
    #[serde(default = "always")]
    rate: f64,
    #[serde(default)]
    first: Option<u32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    hang: bool,
    #[serde(default)]
    applied: Option<Said>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
    #[serde(default)]
    message: Option<String>,
}

fn always() -> f64 {
    1.0
}

/// Which interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    Compute,
    Volume,
    Network,
    Attachment,
    Quota,
    Spec,
    Image,
}

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    #[default]
    Request,
    Get,
    Delete,
    Find,
    List,
    /// Of computes, as the next five.
    Pause,
    Resume,
    Stop,
    Start,
    Reboot,
    Hibernate,
    /// In rules only: all of them.
    Any,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::Request => "request",
            Operation::Get => "get",
            Operation::Delete => "delete",
            Operation::Find => "find",
            Operation::List => "list",
            Operation::Pause => "pause",
            Operation::Resume => "resume",
            Operation::Stop => "stop",
            Operation::Start => "start",
            Operation::Reboot => "reboot",
            Operation::Hibernate => "hibernate",
            Operation::Any => "any",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    QuotaExceeded,
    Unsupported,
    Transient,
    Permanent,
    AnswerLost,
    BootFails,
    Trap,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    No,
    Unknown,
    Yes,
}

impl From<Action> for Operation {
    fn from(action: Action) -> Self {
        match action {
            Action::Pause => Operation::Pause,
            Action::Resume => Operation::Resume,
            Action::Stop => Operation::Stop,
            Action::Start => Operation::Start,
            Action::Reboot => Operation::Reboot,
            Action::Hibernate => Operation::Hibernate,
        }
    }
}

/// A call, as rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) subject: Subject,
    pub(crate) operation: Operation,
    /// The order's id; the account where there is no order.
    pub(crate) about: &'a str,
    /// The name in the order's spec.
    pub(crate) name: Option<&'a str>,
    /// Known for `request` only.
    pub(crate) attempt: Option<u32>,
}

/// What strikes.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) effect: Effect,
    /// Wait for the deadline before the answer.
    pub(crate) hangs: bool,
}

/// What a fault does to its call.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing is done.
    Refuse(Error),
    /// It is done, and this is what the caller hears.
    LoseAnswer(Error),
    /// It is done, and the component traps.
    Trap,
    /// It is made, and fails for this reason instead of becoming ready.
    FailBoot(String),
}

/// The fault that strikes `call`, if any. `count` gives the number of this call (1, 2, …) among those of its order
/// that reached rule N; `chance` gives 64 random bits.
pub(crate) fn strike(
    rules: &[Rule],
    seed: Option<u64>,
    call: Call<'_>,
    mut count: impl FnMut(usize, &'static str) -> Result<u32>,
    chance: impl Fn() -> u64,
) -> Result<Option<Fault>> {
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.covers(call)) {
        let is_numbered = rule.first.is_some() || (seed.is_some() && rule.rate < 1.0);
        let attempt = match call.attempt {
            Some(attempt) => attempt,
            None if is_numbered => count(number, call.operation.word())?,
            None => 1,
        };
        if rule.first.is_some_and(|first| attempt > first) {
            continue;
        }
        let bits = match seed {
            _ if rule.rate >= 1.0 => 0,
            Some(seed) => mix(&format!("{seed}/{number}/{}/{}/{attempt}", call.about, call.operation.word())),
            None => chance(),
        };
        if (bits as f64) < rule.rate * (u64::MAX as f64) {
            return Ok(Some(rule.fault()));
        }
    }
    Ok(None)
}

impl Rule {
    fn covers(&self, call: Call<'_>) -> bool {
        self.kind.is_none_or(|kind| kind == call.subject)
            && (self.operation == Operation::Any || self.operation == call.operation)
            && (self.mode != Mode::BootFails || call.operation == Operation::Request)
            && (self.names.is_empty() || call.name.is_some_and(|name| self.names.iter().any(|n| n == name)))
    }

    fn fault(&self) -> Fault {
        let effect = match self.mode {
            Mode::Invalid => self.refuse(ErrorKind::Invalid),
            Mode::Unauthenticated => self.refuse(ErrorKind::Unauthenticated),
            Mode::Forbidden => self.refuse(ErrorKind::Forbidden),
            Mode::NotFound => self.refuse(ErrorKind::NotFound),
            Mode::Conflict => self.refuse(ErrorKind::Conflict),
            Mode::QuotaExceeded => self.refuse(ErrorKind::QuotaExceeded),
            Mode::Unsupported => self.refuse(ErrorKind::Unsupported),
            Mode::Transient => self.refuse(ErrorKind::Transient),
            Mode::Permanent => self.refuse(ErrorKind::Permanent),
            Mode::AnswerLost => Effect::LoseAnswer(self.error(ErrorKind::Transient, Applied::Unknown)),
            Mode::Trap => Effect::Trap,
            Mode::BootFails => Effect::FailBoot(self.message()),
        };
        Fault { effect, hangs: self.hang }
    }

    fn refuse(&self, kind: ErrorKind) -> Effect {
        Effect::Refuse(self.error(kind, Applied::No))
    }

    fn error(&self, kind: ErrorKind, unless_said: Applied) -> Error {
        let applied = match self.applied {
            Some(Said::No) => Applied::No,
            Some(Said::Unknown) => Applied::Unknown,
            Some(Said::Yes) => Applied::Yes,
            None => unless_said,
        };
        let error = Error::new(kind, self.message()).applied(applied);
        match self.retry_after_ms {
            Some(ms) => error.retry_after(Duration::from_millis(ms)),
            None => error,
        }
    }

    fn message(&self) -> String {
        let default = match self.mode {
            Mode::AnswerLost => "the connection to the emulated cloud was lost before its answer",
            Mode::BootFails => "no valid host was found (a configured fault)",
            _ => "a configured fault of the emulated cloud",
        };
        self.message.clone().unwrap_or_else(|| default.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn rules(json: &str) -> Vec<Rule> {
        serde_json::from_str(json).unwrap()
    }

    fn request(about: &str, attempt: u32) -> Call<'_> {
        Call {
            subject: Subject::Compute,
            operation: Operation::Request,
            about,
            name: Some("web"),
            attempt: Some(attempt),
        }
    }

    fn strikes(rules: &[Rule], seed: Option<u64>, call: Call<'_>) -> bool {
        strike(rules, seed, call, |_, _| Ok(1), || 0).unwrap().is_some()
    }

    #[test]
    fn a_rule_covers_only_what_it_names() {
        let volume = rules(r#"[{"kind": "volume", "mode": "transient"}]"#);
        assert!(!strikes(&volume, None, request("o", 1)));
        let delete = rules(r#"[{"operation": "delete", "mode": "transient"}]"#);
        assert!(!strikes(&delete, None, request("o", 1)));
        let named = rules(r#"[{"mode": "transient", "names": ["db"]}]"#);
        assert!(!strikes(&named, None, request("o", 1)));
        assert!(strikes(&named, None, Call { name: Some("db"), ..request("o", 1) }));
        assert!(strikes(&rules(r#"[{"operation": "any", "mode": "transient"}]"#), None, request("o", 1)));
    }

    #[test]
    fn first_n_is_over_after_n() {
        let rules = rules(r#"[{"mode": "transient", "first": 2}]"#);
        assert_eq!([1, 2, 3].map(|n| strikes(&rules, None, request("o", n))), [true, true, false]);
    }

    #[test]
    fn calls_without_an_attempt_are_counted_by_rule_and_order() {
        let rules = rules(r#"[{"operation": "get", "mode": "transient", "first": 1}]"#);
        let mut counts = BTreeMap::new();
        let mut get = |about| {
            let call = Call { operation: Operation::Get, attempt: None, ..request(about, 1) };
            let count = |rule, word| {
                let n = counts.entry((rule, word, about)).or_insert(0);
                *n += 1;
                Ok(*n)
            };
            strike(&rules, None, call, count, || 0).unwrap().is_some()
        };
        assert_eq!([get("a"), get("a"), get("b")], [true, false, true]);
    }

    #[test]
    fn a_seeded_rate_repeats_and_comes_out_about_right() {
        let rules = rules(r#"[{"mode": "answer-lost", "rate": 0.3}]"#);
        let run =
            |seed| (0..1000).map(|n| strikes(&rules, Some(seed), request(&format!("{n}"), 1))).collect();
        let (one, again, other): (Vec<bool>, Vec<bool>, Vec<bool>) = (run(1), run(1), run(2));
        assert_eq!(one, again);
        assert_ne!(one, other);
        let hits = one.iter().filter(|hit| **hit).count();
        assert!((250..350).contains(&hits), "{hits}");
    }

    #[test]
    fn rates_of_nought_and_one_are_never_and_always() {
        let never = rules(r#"[{"mode": "transient", "rate": 0}]"#);
        let always = rules(r#"[{"mode": "transient", "rate": 1}]"#);
        assert!(!strikes(&never, None, request("o", 1)));
        assert!(strike(&always, None, request("o", 1), |_, _| Ok(1), || u64::MAX).unwrap().is_some());
    }

    #[test]
    fn a_lost_answer_says_unknown_and_a_refusal_says_no() {
        let applied = |json| match strike(&rules(json), None, request("o", 1), |_, _| Ok(1), || 0).unwrap() {
            Some(Fault { effect: Effect::Refuse(e) | Effect::LoseAnswer(e), .. }) => e.applied_state(),
            other => panic!("{other:?}"),
        };
        assert_eq!(applied(r#"[{"mode": "answer-lost"}]"#), Applied::Unknown);
        assert_eq!(applied(r#"[{"mode": "quota-exceeded"}]"#), Applied::No);
        assert_eq!(applied(r#"[{"mode": "transient", "applied": "unknown"}]"#), Applied::Unknown);
    }
}

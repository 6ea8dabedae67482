//! `archipel plugin evidence`: what a plugin's failures left behind, as text that a person can read from the top.

use std::fmt::Write as _;

use archipel_client::Client;
use serde_json::Value;

use crate::commands::order::{escaped, text};
use crate::output::{Answer, Outcome, Printer};

/// Yes if nothing failed: a script can ask.
pub(super) async fn run(name: &str, client: &Client, printer: &Printer) -> Outcome {
    let answer = client.get(&format!("/v1/admin/plugins/{}/evidence", escaped(name))).await?.success()?;
    printer.say(shown(name, &answer).trim_end(), &answer);
    Ok(if list(&answer, "failures").is_empty() { Answer::Yes } else { Answer::No })
}

/// Why it is left alone, and until when.
pub(super) fn quarantine(quarantine: &Value) -> String {
    let until = match text(quarantine, "until") {
        "" => "until it is released".to_owned(),
        time => format!("until {time}"),
    };
    format!("quarantined since {}, {until}: {}", text(quarantine, "since"), text(quarantine, "reason"))
}

fn shown(name: &str, answer: &Value) -> String {
    let mut out = String::new();
    if let Some(held) = answer.get("quarantine").filter(|held| held.is_object()) {
        let _ = writeln!(out, "{}", quarantine(held));
    }
    let failures = list(answer, "failures");
    if failures.is_empty() {
        let _ = writeln!(out, "no call of {name} has failed since the daemon started");
    }
    for failure in failures {
        of_one(&mut out, failure);
    }
    let forgotten = answer.get("forgotten").and_then(Value::as_u64).unwrap_or_default();
    if forgotten > 0 {
        let _ = writeln!(out, "\n{forgotten} earlier failures are not kept any more");
    }
    out
}

fn of_one(out: &mut String, failure: &Value) {
    let _ = writeln!(
        out,
        "\n{} {} in {} after {} us ({})",
        text(failure, "at"),
        text(failure, "outcome"),
        text(failure, "function"),
        number(failure, "took_us"),
        if failure.get("strike") == Some(&Value::Bool(true)) { "a strike" } else { "no strike" },
    );
    let _ = writeln!(
        out,
        "  component  {} {}\n  binding    {}, call {} of its instance\n  request    {}",
        text(failure, "version"),
        text(failure, "digest"),
        text(failure, "binding"),
        number(failure, "instance_call"),
        text(failure, "request_id"),
    );
    if !text(failure, "order").is_empty() {
        let _ = writeln!(out, "  order      {}", text(failure, "order"));
    }
    let _ = writeln!(out, "  cause      {}", text(failure, "cause"));
    section(out, "frames", list(failure, "frames").iter().filter_map(Value::as_str).map(str::to_owned));
    section(out, "log", list(failure, "log").iter().filter_map(Value::as_str).map(str::to_owned));
    section(out, "stderr", text(failure, "stderr").lines().map(str::to_owned));
    section(out, "host calls", list(failure, "host_calls").iter().map(host_call));
    let size = |sample: &Value| format!("{} us: {} bytes", number(sample, "at_us"), number(sample, "bytes"));
    section(out, "memory", list(failure, "memory").iter().map(size));
}

fn host_call(call: &Value) -> String {
    let ended = match call.get("took_us").and_then(Value::as_u64) {
        Some(us) => format!("{} after {us} us", text(call, "outcome")),
        None => "no answer".to_owned(),
    };
    format!("{} us: {} -> {ended}", number(call, "at_us"), text(call, "what"))
}

fn section(out: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        let head = if number == 0 { name } else { "" };
        let _ = writeln!(out, "  {head:<10} {line}");
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_told_from_what_it_was_to_where_it_was() {
        let answer = json!({
            "plugin": "p", "forgotten": 3,
            "quarantine": {"reason": "5 failures", "since": "T0", "until": null, "times": 1},
            "failures": [{
                "at": "T1", "outcome": "trap", "function": "a.f", "took_us": 12, "strike": true, "version": "1.0.0",
                "digest": "sha256:ab", "binding": "authorization/p", "instance_call": 1, "request_id": "r", "order": null,
                "cause": "unreachable", "frames": ["p.wasm!f", "p.wasm!g"], "log": ["hello"], "stderr": "panicked",
                "host_calls": [{"at_us": 1, "what": "http GET https://h", "took_us": null, "outcome": null}],
                "memory": [{"at_us": 0, "bytes": 65_536}],
            }],
        });
        let shown = shown("p", &answer);
        for line in [
            "quarantined since T0, until it is released: 5 failures",
            "T1 trap in a.f after 12 us (a strike)",
            "  frames     p.wasm!f",
            "             p.wasm!g",
            "  host calls 1 us: http GET https://h -> no answer",
            "  memory     0 us: 65536 bytes",
            "3 earlier failures are not kept any more",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
        }
    }
}

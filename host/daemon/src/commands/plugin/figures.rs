//! Figures of plugins, from `/v1/admin/plugins`.

use serde_json::{Map, Value};

use crate::commands::order::text;
use crate::output::table;

/// Outcomes of calls that broke off, rather than answered.
const BROKEN: [&str; 3] = ["trap", "deadline", "memory"];

/// Calls that reached the plugin, over all functions.
pub(super) fn calls(plugin: &Value) -> u64 {
    functions(plugin)
        .flat_map(outcomes)
        .filter(|(outcome, _)| *outcome != "refused")
        .map(|(_, calls)| calls)
        .sum()
}

/// Calls that broke off.
pub(super) fn broken(plugin: &Value) -> u64 {
    functions(plugin)
        .flat_map(outcomes)
        .filter(|(outcome, _)| BROKEN.contains(outcome))
        .map(|(_, calls)| calls)
        .sum()
}

/// The most bytes of memory that an instance had.
pub(super) fn memory(plugin: &Value) -> u64 {
    functions(plugin).map(|(_, figures)| number(figures, "memory_bytes")).max().unwrap_or_default()
}

/// Bytes as people read them.
pub(super) fn mebibytes(bytes: u64) -> String {
    // One decimal is enough; nothing is computed with it.
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A line for every function.
pub(super) fn shown(plugins: &[&Value]) -> String {
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .flat_map(|plugin| functions(plugin).map(|(name, figures)| row(text(plugin, "name"), name, figures)))
        .collect();
    if rows.is_empty() {
        return "no plugin has been called".to_owned();
    }
    table(
        &[
            "PLUGIN",
            "FUNCTION",
            "OK",
            "ERROR",
            "TRAP",
            "DEADLINE",
            "MEMORY",
            "REFUSED",
            "P50",
            "P99",
            "MOST MEMORY",
        ],
        &rows,
    )
}

fn row(plugin: &str, function: &str, figures: &Value) -> Vec<String> {
    let by = |outcome: &str| figures.get("calls").map(|calls| number(calls, outcome)).unwrap_or_default();
    let counts =
        ["ok", "error", "trap", "deadline", "memory", "refused"].map(|outcome| by(outcome).to_string());
    let times = ["p50_us", "p99_us"].map(|key| format!("{} us", number(figures, key)));
    [plugin.to_owned(), function.to_owned()]
        .into_iter()
        .chain(counts)
        .chain(times)
        .chain([mebibytes(number(figures, "memory_bytes"))])
        .collect()
}

fn functions(plugin: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let functions: Option<&Map<String, Value>> = plugin.get("figures").and_then(Value::as_object);
    functions.into_iter().flatten().map(|(name, figures)| (name.as_str(), figures))
}

fn outcomes<'a>((_, figures): (&'a str, &'a Value)) -> impl Iterator<Item = (&'a str, u64)> {
    let calls = figures.get("calls").and_then(Value::as_object);
    calls.into_iter().flatten().map(|(outcome, calls)| (outcome.as_str(), calls.as_u64().unwrap_or_default()))
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_added_up_over_the_functions() {
        let plugin = json!({"name": "p", "figures": {
            "a.f": {"calls": {"ok": 5, "trap": 2, "refused": 9}, "p50_us": 3, "p99_us": 7, "memory_bytes": 1_153_434},
            "a.g": {"calls": {"error": 1, "deadline": 1}, "p50_us": 1, "p99_us": 1, "memory_bytes": 65_536},
        }});
        assert_eq!((calls(&plugin), broken(&plugin), memory(&plugin)), (9, 3, 1_153_434));
        assert_eq!(mebibytes(memory(&plugin)), "1.1 MiB");
        let shown = shown(&[&plugin]);
        let line: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line, ["p", "a.f", "5", "0", "2", "0", "0", "9", "3", "us", "7", "us", "1.1", "MiB"]);
    }
}

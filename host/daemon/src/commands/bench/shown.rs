//! A run for people: what each span took, over its iterations.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use archipel_model::benchmark::ScenarioRecord;

use super::broker::Cleaned;
use crate::output::table;

pub(super) fn text(record: &ScenarioRecord, cleaned: &Cleaned) -> String {
    let mut text = String::new();
    if let Some(description) = &record.description {
        let _ = writeln!(text, "{} ({} iterations)", description.summary, record.iterations.len());
    }
    let mut spans: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for span in record.iterations.iter().flat_map(|iteration| &iteration.spans) {
        spans.entry(&span.name).or_default().extend(span.took_us);
    }
    let ms = |us: u64| format!("{}.{:03} ms", us / 1000, us % 1000);
    let rows: Vec<Vec<String>> = spans
        .into_iter()
        .map(|(name, mut times)| {
            times.sort_unstable();
            let at =
                |index: usize| times.get(index).copied().map(ms).unwrap_or_else(|| "never ended".to_owned());
            let (middle, last) = (times.len() / 2, times.len().saturating_sub(1));
            vec![name.to_owned(), times.len().to_string(), at(0), at(middle), at(last)]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(&["SPAN", "TIMES", "SHORTEST", "MEDIAN", "LONGEST"], &rows));
        text.push('\n');
    }
    for iteration in &record.iterations {
        if let Some(error) = &iteration.error {
            let _ = writeln!(text, "iteration {}: {error}", iteration.iteration);
        }
    }
    if let Some(error) = &record.error {
        let _ = writeln!(text, "it ended early: {error}");
    }
    let _ = write!(text, "{} orders; {} were left standing and deleted", cleaned.ordered, cleaned.deleted);
    if !cleaned.left.is_empty() {
        let _ = write!(text, "; {} are not gone yet, and their leases end them", cleaned.left.len());
    }
    text
}

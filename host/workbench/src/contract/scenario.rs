//! `archipel:benchmark/scenario`: a run against a cloud where all is well, one that is full, and one where nothing becomes ready.
//! Whether its figures mean anything is for a real cloud: `archipel bench run`.

use std::collections::BTreeSet;
use std::sync::Arc;

use archipel_model::benchmark::ScenarioRecord;

use crate::bench::Workbench;
use crate::measure;
use crate::rehearsal::{Mood, Rehearsal};
use crate::report::{Report, Tested, ensure, fail};

const INTERFACE: &str = "scenario";

/// Runs it in every mood.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    if !bench.has("benchmark/scenario") {
        return;
    }
    let well = rehearsed(bench, Mood::Well).await;
    let well =
        report.note(INTERFACE, "it runs from describe to cleanup where all is well", well.and_then(whole));
    if let Some(record) = &well {
        report.note(
            INTERFACE,
            "describe says in words what it does, and what an iteration may take",
            described(record),
        );
        report.note(
            INTERFACE,
            "an iteration reports what describe names, and nothing else",
            reported(record),
        );
        report.note(INTERFACE, "every span that it begins it ends", ended(record));
    }
    for (mood, contract) in [
        (Mood::Full, "where nothing more may be ordered, it fails with words and does not break"),
        (Mood::Stuck, "where nothing becomes ready, it fails with words and does not break"),
    ] {
        report.note(INTERFACE, contract, rehearsed(bench, mood).await.and_then(failed));
    }
}

async fn rehearsed(bench: &Workbench, mood: Mood) -> Tested<ScenarioRecord> {
    let config = bench.case.config.clone();
    let prepared = measure::scenario(config, Some(1), bench.limits.clone(), bench.compiler.clone()).await;
    let scenario = match prepared {
        Ok(scenario) => scenario,
        Err(error) => return fail(error.to_string()),
    };
    let run = scenario.run(bench.component.to_vec(), Arc::new(Rehearsal::new(mood))).await;
    run.or_else(|error| fail(error.to_string()))
}

fn whole(record: ScenarioRecord) -> Tested<ScenarioRecord> {
    let errors = record.iterations.iter().filter_map(|iteration| iteration.error.as_ref());
    match record.error.iter().chain(errors).next() {
        Some(error) => fail(error.clone()),
        None => Ok(record),
    }
}

fn described(record: &ScenarioRecord) -> Tested {
    let Some(description) = &record.description else { return fail("it did not describe itself") };
    ensure(!description.summary.trim().is_empty(), || "its summary is empty".to_owned())?;
    ensure(description.timeout_ms > 1, || "an iteration may take no time at all".to_owned())
}

fn reported(record: &ScenarioRecord) -> Tested {
    let named: BTreeSet<&str> =
        record.description.iter().flat_map(|it| &it.reports).map(String::as_str).collect();
    let told: BTreeSet<&str> = record
        .iterations
        .iter()
        .flat_map(|it| {
            it.spans.iter().map(|span| &span.name).chain(it.metrics.iter().map(|metric| &metric.name))
        })
        .map(String::as_str)
        .collect();
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    ensure(!told.is_empty(), || "it measures nothing: no span and no metric".to_owned())?;
    let (lacks, unnamed) = (&named - &told, &told - &named);
    ensure(lacks.is_empty(), || format!("named and never told: {}", list(lacks)))?;
    ensure(unnamed.is_empty(), || format!("told and not named: {}", list(unnamed)))
}

fn ended(record: &ScenarioRecord) -> Tested {
    let open = record.iterations.iter().flat_map(|it| &it.spans).find(|span| span.took_us.is_none());
    open.map_or(Ok(()), |span| fail(format!("{} never ended", span.name)))
}

/// An error of its own is what it should end with; a trap or a deadline is none.
fn failed(record: ScenarioRecord) -> Tested {
    if let Some(error) = &record.error
        && !error.starts_with("setup: ")
    {
        return fail(format!("it broke: {error}"));
    }
    let has_failed = record.error.is_some() || record.iterations.iter().any(|it| it.error.is_some());
    ensure(has_failed, || "it ended as if all were well".to_owned())
}

//! A bench's figures: durations, their percentiles, and the rows that `cargo xtask bench` shows.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::time::{Duration, Instant};

use serde_json::Value;

/// What a line with a figure begins with; xtask looks for it.
const MARKER: &str = "archipel-bench:";

/// How long it took, and what came of it.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let answer = work.await;
    (began.elapsed(), answer)
}

/// Prints a row for xtask.
pub(crate) fn row(figure: &Value) {
    println!("{MARKER} {figure}");
}

/// Nearest rank, two decimal places.
pub(crate) fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    (sorted.get(at).copied().unwrap_or(f64::NAN) * 100.0).round() / 100.0
}

//! How durations are compared: ours and the baseline in turns, so that whatever else the machine does hits both alike,
//! and medians over all turns.
//!
//! criterion drives it (warm-up, how many turns, comparison with the last run); the row that `cargo xtask bench` shows is
//! made of every single turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use criterion::Criterion;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::runtime::Handle;

use crate::figures::{percentile, row, timed};

/// What our side may cost over bare wasmtime.
pub(crate) const GOAL: Option<&str> = Some("<=1.25");

/// One measurement of each side; both must have succeeded. Told whether ours comes first.
pub(crate) type Turn = Arc<dyn Fn(bool) -> BoxFuture<'static, (Duration, Duration)> + Send + Sync>;

/// criterion as all groups use it.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8))
}

/// Both sides, one after the other, each with how long it took.
pub(crate) async fn in_turn<A, B>(
    ours_first: bool,
    ours: impl Future<Output = A>,
    baseline: impl Future<Output = B>,
) -> ((Duration, A), (Duration, B)) {
    if ours_first {
        let ours = timed(ours).await;
        (ours, timed(baseline).await)
    } else {
        let baseline = timed(baseline).await;
        (timed(ours).await, baseline)
    }
}

/// Takes turns for as long as criterion asks, in one task of `tokio`, and prints the row: medians, their ratio, and the
/// 99th percentile of both, which has no goal because it varies ten times between runs on one machine.
pub(crate) fn measure(
    criterion: &mut Criterion,
    tokio: &Handle,
    id: &str,
    what: &str,
    goal: Option<&str>,
    turn: &Turn,
) {
    let taken: Arc<Mutex<(Vec<f64>, Vec<f64>)>> = Arc::default();
    criterion.bench_function(id, |bencher| {
        bencher.iter_custom(|turns| {
            let (turn, taken) = (Arc::clone(turn), Arc::clone(&taken));
            let work = tokio.spawn(async move {
                let mut spent = Duration::ZERO;
                for number in 0..turns {
                    let (ours, baseline) = turn(number % 2 == 0).await;
                    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.0.push(ours.as_secs_f64() * 1e6);
                    taken.1.push(baseline.as_secs_f64() * 1e6);
                    spent += ours;
                }
                spent
            });
            tokio.block_on(work).expect("both sides answer")
        });
    });
    let taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    let (ours, baseline) = &*taken;
    row(&json!({
        "id": id, "what": what, "ours": percentile(ours, 50), "baseline": percentile(baseline, 50), "unit": "us",
        "goal": goal, "p99_ours": percentile(ours, 99), "p99_baseline": percentile(baseline, 99), "turns": ours.len(),
    }));
}

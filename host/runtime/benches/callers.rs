//! Callers of a site's policy, each with one call at a time and a short pause after it: together they keep a processor
//! busy for a third or so. Without a pause they would take all there is, and what a swap takes would say how the kernel
//! shares processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use archipel_model::Error;
use archipel_model::plugin::Decision;
use tokio::task::JoinHandle;

use crate::rego;
use crate::site::{Result, Site};

/// Between an answer and the next call.
const PAUSE: Duration = Duration::from_millis(50);

/// A time in which one generation was to serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The number of that generation.
    pub(crate) of: u64,
}

impl Phase {
    /// How long it was.
    pub(crate) fn took(&self) -> Duration {
        self.ended - self.began
    }
}

/// One call that was answered.
struct Call {
    generation: u64,
    ended: Instant,
    took: Duration,
}

/// Every call.
#[derive(Default)]
pub(crate) struct Calls {
    answered: Vec<Call>,
    /// When one ended without the answer that it should have had, and why.
    pub(crate) lost: Vec<(Instant, String)>,
}

impl Calls {
    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.answered.len()
    }

    /// How long those took, in milliseconds, that this phase's generation answered in it.
    pub(crate) fn of(&self, phase: &Phase) -> Vec<f64> {
        let within =
            |call: &&Call| call.generation == phase.of && (phase.began..phase.ended).contains(&call.ended);
        self.answered.iter().filter(within).map(|call| call.took.as_secs_f64() * 1e3).collect()
    }
}

/// Who call.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Calls>>,
}

impl Callers {
    /// Starts them.
    pub(crate) fn start(site: &Arc<Site>, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|_| tokio::spawn(call(Arc::clone(site), Arc::clone(&stop)))).collect();
        Self { stop, tasks }
    }

    /// Stops them.
    pub(crate) async fn stop(self) -> Result<Calls> {
        self.stop.store(true, Ordering::Relaxed);
        let mut calls = Calls::default();
        for task in self.tasks {
            let Calls { answered, lost } = task.await?;
            calls.answered.extend(answered);
            calls.lost.extend(lost);
        }
        Ok(calls)
    }
}

/// As a request does: takes the generation of the moment and keeps it for the call.
async fn call(site: Arc<Site>, stop: Arc<AtomicBool>) -> Calls {
    let (user, resource, context) = rego::question(&site);
    let mut calls = Calls::default();
    while !stop.load(Ordering::Relaxed) {
        let generation = site.runtime.site().current();
        let began = Instant::now();
        let policy = generation.authorization.iter().find(|policy| policy.name == rego::PLUGIN);
        let answer = match policy {
            Some(policy) => policy.plugin.is_authorized(&user, &resource, &context).await,
            None => Err(Error::internal("the policy is gone")),
        };
        let ended = Instant::now();
        match answer {
            Ok(Decision::Allow { .. }) => {
                calls.answered.push(Call { generation: generation.number, ended, took: ended - began });
            }
            Ok(refused) => calls.lost.push((ended, format!("{refused:?}"))),
            Err(error) => calls.lost.push((ended, error.to_string())),
        }
        tokio::time::sleep(PAUSE).await;
    }
    calls
}

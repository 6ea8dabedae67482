//! The sweep: what the clouds hold under this site's tag, compared with the orders of its store. It says what nobody has
//! ordered, or has given up, and what it costs is one list per account and kind.
//!
//! | an instance whose tag names | is | may be deleted |
//! |---|---|---|
//! | no order of this store | unknown | yes |
//! | a closed order | left over | yes |
//! | an order that holds another instance | a duplicate | no: the order's own steps do that |
//! | an order that failed before it held one | not held | no: deleting the order does |
//! | an order of another cloud or kind | misplaced | no |
//!
//! Nothing is called one of these that was seen once: after `settle` the order is read anew and the instance looked at by
//! itself. Orders in flight (open to spawning, and closing) look for their instances themselves and are left out, and so is
//! what the cloud made less than `settle` ago.
//!
//! It reports. It deletes only where the cloud's `sweep = { unknown = "delete" }` says so, and never in a store that was
//! restored and that nobody has confirmed: what was ordered after its copy was made is not in it, and somebody's all the same.
//!
//! It finds accounts by the orders of the store, closed ones included, for mappers cannot list them. Orders that were
//! forgotten are named as possible orphans, with whether the cloud still shows anything of them.

mod look;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::site::SweepPolicy;
use archipel_model::{CloudName, Error, ErrorKind};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::Orders;
use crate::pace;
use report::{CloudSweep, SweepReport, SweepState};

/// A cloud that is new, or whose period changed, is noticed within so long.
const NOTICED: Duration = Duration::from_secs(60);

/// What is known of sweeps: a report per cloud, until the daemon ends.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    known: Mutex<Known>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Known {
    reports: BTreeMap<CloudName, CloudSweep>,
    asked: BTreeSet<CloudName>,
}

impl Sweeps {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orders {
    /// The last sweep of each cloud, and whether this store may be trusted with deleting.
    ///
    /// # Errors
    /// `transient` when the store cannot read.
    pub async fn sweep_report(&self) -> Result<SweepReport, Error> {
        let confirmed = self.store.is_confirmed().await?;
        let generation = self.site.current();
        let known = self.sweeps.known();
        let clouds = generation.clouds.iter().map(|(name, cloud)| {
            let mut report =
                known.reports.get(name).cloned().unwrap_or_else(|| CloudSweep::never(name.clone()));
            report.policy = cloud.sweep;
            if known.asked.contains(name) && report.state != SweepState::Running {
                report.state = SweepState::Asked;
            }
            report
        });
        Ok(SweepReport { incarnation: self.store.incarnation(), confirmed, clouds: clouds.collect() })
    }

    /// Sweeps one cloud, or all, as soon as may be; the report tells when it is done.
    ///
    /// # Errors
    /// `invalid` with the code `unknown-cloud`; `transient` where another daemon works on the cloud.
    pub fn ask_for_sweep(&self, cloud: Option<&str>) -> Result<(), Error> {
        let generation = self.site.current();
        let asked: Vec<CloudName> = match cloud {
            Some(name) => vec![generation.cloud(name)?.name.clone()],
            None => generation.clouds.keys().cloned().collect(),
        };
        if let Some(other) = asked.iter().find(|name| !self.works_on(name)) {
            let words = format!("this daemon does not work on cloud {other} now; try again");
            return Err(Error::transient(words).code("queue-elsewhere"));
        }
        self.sweeps.known().asked.extend(asked);
        self.sweeps.asked.notify_one();
        Ok(())
    }

    /// Somebody has looked: nothing that the clouds hold and this store does not know is wanted. Durable; another restore
    /// needs another confirmation.
    ///
    /// # Errors
    /// `conflict` with the code `another-incarnation` where that is not the present one; `transient` when the store cannot write.
    pub async fn confirm_store(&self, incarnation: Uuid) -> Result<(), Error> {
        let present = self.store.incarnation();
        if incarnation != present {
            let words = format!(
                "the store's incarnation is {present}; look at the sweep again, then confirm that one"
            );
            return Err(Error::conflict(words).code("another-incarnation"));
        }
        self.store.confirm().await
    }

    fn works_on(&self, cloud: &CloudName) -> bool {
        self.queue(cloud).is_some_and(|queue| queue.is_claimed())
    }

    /// Sweeps each cloud in its period, and when asked. A cloud that hangs holds up only its own sweep.
    pub(crate) async fn keep_sweeping(self: &Arc<Self>) {
        let mut next: BTreeMap<CloudName, (SweepPolicy, Instant)> = BTreeMap::new();
        let mut running: JoinSet<()> = JoinSet::new();
        loop {
            let now = Instant::now();
            let generation = self.site.current();
            next.retain(|name, _| generation.clouds.contains_key(name));
            for (name, cloud) in &generation.clouds {
                if next.get(name).is_none_or(|(policy, _)| *policy != cloud.sweep) {
                    let first = now + pace::about(Duration::from_secs(cloud.sweep.every_s));
                    next.insert(name.clone(), (cloud.sweep, first));
                }
            }
            drop(generation);
            for (name, (policy, at)) in &mut next {
                let is_due = policy.every_s > 0 && *at <= now;
                if is_due {
                    *at = now + pace::about(Duration::from_secs(policy.every_s));
                }
                let begins = {
                    let mut known = self.sweeps.known();
                    let is_running =
                        known.reports.get(name).is_some_and(|report| report.state == SweepState::Running);
                    !is_running && (known.asked.remove(name) || is_due)
                };
                if begins && self.works_on(name) {
                    running.spawn(self.clone().sweep(name.clone()));
                }
            }
            let due = next.values().filter(|(policy, _)| policy.every_s > 0).map(|(_, at)| *at).min();
            let until = due.unwrap_or(now + NOTICED).min(now + NOTICED);
            tokio::select! {
                () = self.sweeps.asked.notified() => {}
                () = tokio::time::sleep_until(until) => {}
                Some(ended) = running.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a sweep broke");
                        self.tally.count().panics += 1;
                    }
                }
            }
        }
    }

    async fn sweep(self: Arc<Self>, cloud: CloudName) {
        let mut report = CloudSweep::never(cloud.clone());
        report.state = SweepState::Running;
        report.began_at = Some(self.clock.now());
        let mut mark = Mark { sweeps: &self.sweeps, report: report.clone() };
        mark.sweeps.known().reports.insert(cloud.clone(), report.clone());
        self.look_over(&mut report).await;
        report.ended_at = Some(self.clock.now());
        report.state = if report.gaps.is_empty() { SweepState::Done } else { SweepState::Incomplete };
        self.tally.swept(&cloud, |figures| {
            let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
            figures.sweeps += 1;
            figures.unknown = count(report.unknown.len()).saturating_add(report.more);
            figures.possible_orphans = count(report.possible_orphans.len());
            figures.gaps = count(report.gaps.len());
            figures.deleted += count(report.deleted());
        });
        match report.unknown.len() {
            0 => {
                tracing::info!(%cloud, looked_at = report.looked_at, gaps = report.gaps.len(), "swept: nothing is unknown")
            }
            unknown => {
                let (more, deleted) = (report.more, report.deleted());
                tracing::warn!(%cloud, unknown, more, deleted, "swept: the cloud holds what no order has; archipel sweep shows it");
            }
        }
        mark.report = report;
    }
}

/// Whatever ends a sweep, its report does not stay `running`.
struct Mark<'a> {
    sweeps: &'a Sweeps,
    report: CloudSweep,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if self.report.state == SweepState::Running {
            self.report.state = SweepState::Incomplete;
            self.report.gaps.push(report::Gap::of("the sweep broke off; run it again"));
        }
        self.sweeps.known().reports.insert(self.report.cloud.clone(), self.report.clone());
    }
}

/// What a call that gave nothing means for a report.
fn words(error: &Error) -> String {
    match error.kind {
        ErrorKind::Unsupported => format!("the driver cannot list: {}", error.message),
        _ => error.message.clone(),
    }
}

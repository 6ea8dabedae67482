//! The work on one cloud: claim its queue, load it, start what is due within the cloud's concurrency, renew the claim.
//!
//! Each cloud has its own task and its own slots, so that a slow or dead cloud slows only itself. A claim that is lost ends the
//! work: what is in flight is refused by the store's fencing, the queue is thrown away and claimed again.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_model::order::State;
use archipel_model::{CloudName, OrderId, Owner, SPAN};
use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::due::{Due, ListRules, Work};
use crate::engine::Orders;
use crate::pace;
use crate::settings::Settings;
use crate::step::{Memory, Next, Step, Trouble};
use crate::store::Claim;

/// A cloud's queue and what wakes it.
pub(crate) struct Queue {
    pub(crate) cloud: CloudName,
    due: Mutex<Due>,
    changed: Notify,
    claimed: AtomicBool,
    lost: AtomicBool,
}

impl Queue {
    pub(crate) fn new(cloud: CloudName, rules: ListRules) -> Self {
        Self {
            cloud,
            due: Mutex::new(Due::new(rules)),
            changed: Notify::new(),
            claimed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    pub(crate) fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// An event told of a version of an order.
    pub(crate) fn notice(&self, id: OrderId, owner: &Owner, version: u64) {
        self.tell(|due, now| due.notice(id, owner, version, now));
    }

    /// Something that an order depends on changed.
    pub(crate) fn nudge(&self, id: OrderId) {
        self.tell(|due, now| due.nudge(id, now));
    }

    /// An order of this cloud was closed.
    pub(crate) fn quota_may_be_free(&self) {
        self.tell(Due::nudge_waiting_for_quota);
    }

    /// The configuration changed.
    pub(crate) fn reconfigured(&self) {
        self.tell(Due::nudge_waiting_for_config);
    }

    /// Throws the queue away; it is claimed and loaded again.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Something of it is due now.
    pub(crate) fn stir(&self) {
        self.changed.notify_one();
    }

    /// A queue that is not claimed holds nothing, so nothing is put into it.
    fn tell(&self, what: impl FnOnce(&mut Due, Instant)) {
        if self.is_claimed() {
            what(&mut self.due(), Instant::now());
            self.changed.notify_one();
        }
    }
}

impl Orders {
    /// Serves a queue until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, queue: Arc<Queue>, stop: CancellationToken) {
        let ttl = self.config.settings.claim_ttl_ms;
        while !stop.is_cancelled() {
            match self.store.claim(&queue.cloud, &self.config.daemon, self.clock.now(), ttl).await {
                Ok(Some(claim)) => {
                    archipel_model::fail::point("after-claim");
                    self.work(&queue, claim, &stop).await;
                }
                Ok(None) => tracing::debug!(cloud = %queue.cloud, "another daemon works on this queue"),
                Err(error) => tracing::warn!(cloud = %queue.cloud, %error, "the queue cannot be claimed"),
            }
            if !stop.is_cancelled() {
                let wait = pace::about(Settings::ms(ttl / 3));
                let _ = tokio::time::timeout(wait, stop.cancelled()).await;
            }
        }
    }

    /// Works under a claim until it is lost or `stop`.
    async fn work(self: &Arc<Self>, queue: &Arc<Queue>, mut claim: Claim, stop: &CancellationToken) {
        let ttl = self.config.settings.claim_ttl_ms;
        queue.due().clear();
        queue.lost.store(false, Ordering::Release);
        queue.claimed.store(true, Ordering::Release);
        tracing::info!(cloud = %queue.cloud, epoch = claim.epoch.0, "working on this queue");
        let mut tasks = JoinSet::new();
        let mut renew_at = Instant::now() + Settings::ms(ttl / 3);
        let load = self.load(queue);
        tokio::pin!(load);
        let mut loaded = false;
        while !stop.is_cancelled() && !queue.lost.load(Ordering::Acquire) {
            let can_start = claim.until > self.clock.now() && self.start_due(queue, &claim, &mut tasks);
            let next = queue.due().next_at();
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut load, if !loaded => {
                    loaded = true;
                    queue.due().loaded();
                }
                () = queue.changed.notified() => {}
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                // What became due just now is started at once; what is due and finds no slot waits for a step's end.
                () = sleep_until(next), if can_start || next.is_some_and(|at| at > Instant::now()) => {}
                () = tokio::time::sleep_until(renew_at) => {
                    match self.store.claim(&queue.cloud, &self.config.daemon, self.clock.now(), ttl).await {
                        Ok(Some(renewed)) if renewed.epoch == claim.epoch => claim = renewed,
                        Ok(_) => queue.lose(),
                        Err(error) => tracing::warn!(cloud = %queue.cloud, %error, "the claim cannot be renewed"),
                    }
                    renew_at = Instant::now() + Settings::ms(ttl / 3);
                }
            }
        }
        queue.claimed.store(false, Ordering::Release);
        let grace = Settings::ms(self.config.settings.stop_grace_ms);
        let drained = tokio::time::timeout(grace, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(cloud = %queue.cloud, left = tasks.len(), "calls did not end in time; they are found again at the next start");
            tasks.shutdown().await;
        }
        queue.due().clear();
        if stop.is_cancelled() {
            // Handed back, so that the next daemon need not wait for it to run out.
            let _ = self.store.claim(&queue.cloud, &self.config.daemon, self.clock.now(), 0).await;
        } else {
            self.tally.count().fenced += 1;
            tracing::warn!(cloud = %queue.cloud, "this queue was lost; loading it anew");
        }
    }

    /// Starts due orders while the cloud has slots. Says whether it has some left.
    fn start_due(self: &Arc<Self>, queue: &Arc<Queue>, claim: &Claim, tasks: &mut JoinSet<()>) -> bool {
        let generation = self.site.current();
        let slots = generation.clouds.get(&queue.cloud).map_or(1, |cloud| cloud.concurrency.max(1));
        loop {
            let taken = {
                let mut due = queue.due();
                if due.running() >= slots {
                    return false;
                }
                due.take(Instant::now())
            };
            match taken {
                None => return true,
                Some(Work::Step(id, memory)) => {
                    let span = tracing::info_span!(
                        target: SPAN, "order step", "archipel.order.id" = %id, "archipel.cloud" = %queue.cloud,
                    );
                    tasks.spawn(self.clone().step(queue.clone(), claim.clone(), id, memory).instrument(span));
                }
                Some(Work::List(inventory, until)) => {
                    let span = tracing::info_span!(
                        target: SPAN, "instances list", "archipel.cloud" = %queue.cloud,
                    );
                    tasks.spawn(self.clone().poll(queue.clone(), inventory, until).instrument(span));
                }
            }
        }
    }

    /// One step of one order, whatever happens in it.
    async fn step(self: Arc<Self>, queue: Arc<Queue>, claim: Claim, id: OrderId, memory: Memory) {
        let mut after = memory.clone();
        let generation = self.site.current();
        let step = async {
            let mut step = Step { orders: &self, claim: Some(claim), generation, memory: &mut after };
            step.run(id).await
        };
        let outcome = AssertUnwindSafe(step).catch_unwind().await;
        let next = match outcome {
            Ok(Ok(next)) => next,
            Ok(Err(Trouble::Stale)) => {
                self.tally.count().stale_writes += 1;
                Next::NOW
            }
            Ok(Err(Trouble::Fenced)) => {
                queue.lose();
                Next::held(Duration::from_secs(1))
            }
            Ok(Err(Trouble::Store(error))) => {
                tracing::warn!(order = %id, %error, "the store cannot serve; trying again");
                Next::held(pace::about(Duration::from_secs(1)))
            }
            Ok(Err(Trouble::Refused(error) | Trouble::Defect(error))) => {
                tracing::error!(order = %id, %error, "a step went wrong; trying again later");
                Next::held(pace::about(Settings::ms(self.config.settings.poll_steady_ms)))
            }
            Err(_) => {
                tracing::error!(order = %id, "a step panicked; trying again later");
                self.tally.count().panics += 1;
                after = memory;
                Next::held(pace::about(Settings::ms(self.config.settings.poll_steady_ms)))
            }
        };
        {
            let mut due = queue.due();
            due.finish(id, after, next, Instant::now());
            due.free_slot();
        }
        queue.stir();
    }

    /// Loads what is not closed, spread out so that a start is no stampede.
    async fn load(&self, queue: &Queue) {
        let settings = &self.config.settings;
        let mut after = None;
        loop {
            match self.store.active(&queue.cloud, after, settings.page).await {
                Ok(page) => {
                    let now = Instant::now();
                    let mut due = queue.due();
                    for order in page.items {
                        let within = match order.state {
                            State::Open | State::Selected | State::Spawning | State::Closing => 500,
                            _ if order.power.is_some() => 500,
                            _ => settings.spread_ms,
                        };
                        let at = now + pace::spread(Settings::ms(within));
                        due.insert(order.id, order.owner(), at, Memory::of(&order));
                    }
                    drop(due);
                    queue.changed.notify_one();
                    match page.next {
                        Some(next) => after = Some(next),
                        None => return,
                    }
                }
                Err(error) => {
                    tracing::warn!(cloud = %queue.cloud, %error, "the queue cannot be loaded yet; trying again");
                    tokio::time::sleep(pace::about(Duration::from_secs(1))).await;
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

//! The scheduler: one task per cloud, one that follows the store's events and wakes what they concern, one that forgets, one
//! that sweeps.
//!
//! Nothing goes over all orders to find what is due. An order comes into its queue by its event (or by loading, after a start); it is woken by its own time, by an
//! event of its own, by an event of what it rests on, or by a change of the configuration. Events come from the store, so it
//! makes no difference which daemon wrote them.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archipel_model::CloudName;
use archipel_model::event::Event;
use archipel_model::order::State;
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::due::ListRules;
use crate::engine::Orders;
use crate::figures::OrderFigures;
use crate::pace;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::store::{EventQuery, OrderQuery, Visible};

impl Orders {
    /// The scheduler: works on due orders until `stop`, and returns after what was in flight is written.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.followed.store(*self.store.watch_events().borrow(), Ordering::Release);
        let (strays, mut found_strays) = mpsc::channel(16);
        let mut tasks: JoinSet<Option<CloudName>> = JoinSet::new();
        for helper in [Helper::Follow, Helper::Forget, Helper::Sweep, Helper::FindStrays(strays)] {
            let (orders, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(orders.help(helper)).await;
                None
            });
        }
        let mut generation = self.site.current().number;
        let mut stray = None;
        while !stop.is_cancelled() {
            let current = self.site.current();
            for cloud in current.clouds.keys().chain(&stray) {
                if let Some(queue) = self.new_queue(cloud) {
                    let (orders, stop, cloud) = (self.clone(), stop.clone(), cloud.clone());
                    tasks.spawn(async move {
                        orders.serve(queue, stop).await;
                        Some(cloud)
                    });
                }
            }
            if current.number != generation {
                generation = current.number;
                self.reconfigured();
            }
            drop(current);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.woken.notified() => self.reconfigured(),
                Some(cloud) = found_strays.recv() => stray = Some(cloud),
                // A swap that nobody told of is noticed within a second.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = &ended {
                        tracing::error!(%error, "a task of the scheduler broke; starting its queue again");
                    }
                    self.drop_ended_queues(ended.ok().flatten());
                }
            }
        }
        while tasks.join_next().await.is_some() {}
        self.queues().clear();
    }

    /// Tells the scheduler that the configuration or a cloud changed.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Ends every local token: the site's secrets changed, and it may have been made of an old one.
    pub fn forget_tokens(&self) {
        self.tokens.forget_all();
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> OrderFigures {
        let mut figures = self.tally.count().clone();
        figures.tokens_made = self.tokens.made();
        let now = Instant::now();
        for (cloud, queue) in self.queues().iter() {
            let due = queue.due();
            let entry = figures.of(cloud);
            entry.claimed = queue.is_claimed();
            entry.orders = due.len();
            entry.ready = due.ready(now);
            entry.in_flight = due.running();
            entry.unasked = due.unasked();
            let lag = due.next_at().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            entry.lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        }
        for cloud in self.breakers.clouds() {
            self.breakers.tell(&cloud, figures.of(&cloud));
        }
        figures
    }

    /// Runs a helper for good: one that broke begins again where it was.
    async fn help(self: Arc<Self>, helper: Helper) {
        loop {
            let work = async {
                match &helper {
                    Helper::Follow => self.follow().await,
                    Helper::Forget => self.keep_forgetting().await,
                    Helper::Sweep => self.keep_sweeping().await,
                    Helper::FindStrays(to) => self.find_strays(to).await,
                }
            };
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!("a helper of the scheduler panicked; starting it again");
                self.tally.count().panics += 1;
            }
            tokio::time::sleep(pace::about(Duration::from_secs(1))).await;
        }
    }

    /// The queue of a cloud that has none yet.
    fn new_queue(&self, cloud: &CloudName) -> Option<Arc<Queue>> {
        let mut queues = self.queues();
        if queues.contains_key(cloud) {
            return None;
        }
        let rules = ListRules::of(&self.config.settings);
        let queue = Arc::new(Queue::new(cloud.clone(), rules));
        queues.insert(cloud.clone(), queue.clone());
        Some(queue)
    }

    /// Only a defect ends a queue's task before the stop: its queue is forgotten, so that the next round makes it anew.
    fn drop_ended_queues(&self, ended: Option<CloudName>) {
        let mut queues = self.queues();
        match ended {
            Some(cloud) => drop(queues.remove(&cloud)),
            None => queues.retain(|_, queue| Arc::strong_count(queue) > 1),
        }
    }

    fn reconfigured(&self) {
        self.tokens.forget_refusals();
        for queue in self.all_queues() {
            queue.reconfigured();
        }
    }

    fn all_queues(&self) -> Vec<Arc<Queue>> {
        self.queues().values().cloned().collect()
    }

    pub(crate) fn queue(&self, cloud: &CloudName) -> Option<Arc<Queue>> {
        self.queues().get(cloud).cloned()
    }

    /// Follows the events and wakes what they concern.
    async fn follow(&self) {
        let mut newest = self.store.watch_events();
        loop {
            newest.borrow_and_update();
            let after = self.followed.load(Ordering::Acquire);
            let limit = self.config.settings.page;
            let query = EventQuery { visible: Visible::Any, subject: None, after: Some(after), limit };
            match self.store.events(&query).await {
                Ok(page) => {
                    if page.oldest > after.saturating_add(1) && after > 0 {
                        tracing::warn!(
                            "events were forgotten before they were followed; loading all queues anew"
                        );
                        self.all_queues().iter().for_each(|queue| queue.lose());
                    }
                    for event in &page.items {
                        self.pass_on(event).await;
                    }
                    self.followed.store(after.max(page.next), Ordering::Release);
                    if !page.more && newest.changed().await.is_err() {
                        tracing::error!("the store tells no more events; new orders wait for a restart");
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "events cannot be read; trying again");
                    tokio::time::sleep(pace::about(Duration::from_secs(1))).await;
                }
            }
        }
    }

    async fn pass_on(&self, event: &Event) {
        let word = |key: &str| event.data.get(key).and_then(serde_json::Value::as_str);
        let Some(queue) = word("cloud")
            .and_then(|name| name.parse::<CloudName>().ok())
            .and_then(|cloud| self.queue(&cloud))
            .filter(|queue| queue.is_claimed())
        else {
            return;
        };
        let state = word("state").and_then(|word| word.parse::<State>().ok());
        let version = event.data.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if state != Some(State::Closed) {
            queue.notice(event.subject, &event.owner, version);
        }
        let entered = state.is_some_and(|state| event.kind.ends_with(&format!(".order.{state}.v1")));
        let Some(state) = state.filter(|_| entered) else { return };
        if state.is_settled() || state == State::Closing {
            match self.store.dependants(event.subject).await {
                Ok(dependants) => dependants.into_iter().for_each(|id| queue.nudge(id)),
                Err(error) => {
                    tracing::warn!(order = %event.subject, %error, "what rests on it cannot be woken")
                }
            }
        }
        if state == State::Closed {
            queue.quota_may_be_free();
            match self.store.get(event.subject).await {
                Ok(order) => {
                    for on in order.into_iter().flat_map(|order| order.depends_on) {
                        queue.nudge(on.order);
                    }
                }
                Err(error) => {
                    tracing::warn!(order = %event.subject, %error, "what it rested on cannot be woken")
                }
            }
        }
    }

    /// Clouds that have orders and are no longer configured: their orders are marked, and deleted where nothing was ever asked.
    async fn find_strays(&self, to: &mpsc::Sender<CloudName>) {
        let mut query = OrderQuery::of(Visible::Any, self.config.settings.page);
        let mut told = HashSet::new();
        loop {
            match self.store.list(&query).await {
                Ok(page) => {
                    for order in page.items {
                        let known = self.site.current().clouds.contains_key(&order.cloud);
                        if !known && told.insert(order.cloud.clone()) {
                            tracing::warn!(cloud = %order.cloud, "orders of a cloud that is not configured are left alone");
                            let _ = to.send(order.cloud).await;
                        }
                    }
                    match page.next {
                        Some(next) => query.after = Some(next),
                        None => break,
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "orders cannot be listed; trying again");
                    tokio::time::sleep(pace::about(Duration::from_secs(5))).await;
                }
            }
        }
        std::future::pending::<()>().await;
    }

    /// Forgets what is older than its retention, in small rounds.
    async fn keep_forgetting(&self) {
        let settings = &self.config.settings;
        loop {
            let now = self.clock.now();
            let before = |s: u64| now.minus(Duration::from_secs(s));
            let round = self.store.forget_before(
                before(settings.closed_retention_s),
                before(settings.event_retention_s),
                before(settings.idempotency_retention_s),
                settings.forget_batch,
            );
            match round.await {
                Ok(forgotten) if forgotten >= settings.forget_batch => {
                    tokio::time::sleep(Settings::ms(50)).await;
                    continue;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old records cannot be forgotten; trying again later"),
            }
            tokio::time::sleep(pace::about(Duration::from_secs(settings.forget_every_s))).await;
        }
    }
}

enum Helper {
    Follow,
    Forget,
    Sweep,
    FindStrays(mpsc::Sender<CloudName>),
}

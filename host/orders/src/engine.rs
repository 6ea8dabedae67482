//! [`Orders`]: the room's door. Reads are here; each thing that writes has its own file.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use archipel_model::order::{Kind, Order, State};
use archipel_model::plugin::{Context, Operation};
use archipel_model::site::{CloudBinding, Site};
use archipel_model::{Clock, CloudName, Error, ErrorKind, LocalToken, OrderId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::breaker::Breakers;
use crate::draft::{Draft, Prepared};
use crate::figures::Tally;
use crate::observe::{can_be_looked_at, is_away};
use crate::queue::Queue;
use crate::request::{Requester, WaitFor};
use crate::settings::{LimitRule, OrdersConfig, Settings};
use crate::steady::Steady;
use crate::step::{Memory, Step, Trouble};
use crate::store::{Claim, OrderPage, OrderQuery, OrderStore, Visible, WriteError};
use crate::sweep::Sweeps;
use crate::table::Why;
use crate::tokens::{Tokens, within};

/// A write that meets others' writes is decided anew so often, then given back to the caller.
pub(crate) const TRIES: usize = 32;

/// The engine of orders of one site.
pub struct Orders {
    pub(crate) site: Arc<dyn Site>,
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) steady: Steady,
    pub(crate) config: OrdersConfig,
    pub(crate) limits: RwLock<Arc<[LimitRule]>>,
    pub(crate) tokens: Tokens,
    pub(crate) breakers: Breakers,
    pub(crate) sweeps: Sweeps,
    pub(crate) tally: Tally,
    pub(crate) woken: Notify,
    /// What was accepted before was accepted by an earlier life of the store, which may have gone on after its copy was made.
    pub(crate) store_began: Timestamp,
    /// The newest event that was followed.
    pub(crate) followed: AtomicU64,
    queues: Mutex<BTreeMap<CloudName, Arc<Queue>>>,
}

impl Orders {
    /// An engine over this store. It serves requests at once; work on clouds begins with [`Orders::run`].
    pub fn new(
        site: Arc<dyn Site>,
        store: Arc<dyn OrderStore>,
        clock: Arc<dyn Clock>,
        config: OrdersConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            site,
            store_began: began(store.incarnation()),
            store,
            tokens: Tokens::new(clock.clone(), &config.settings),
            steady: Steady::new(clock.clone()),
            breakers: Breakers::default(),
            sweeps: Sweeps::default(),
            clock,
            limits: RwLock::new(config.limits.clone().into()),
            config,
            tally: Tally::default(),
            woken: Notify::new(),
            followed: AtomicU64::new(0),
            queues: Mutex::default(),
        })
    }

    /// Other limits from now on; what is accepted already stays.
    pub fn set_limits(&self, limits: Vec<LimitRule>) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits.into();
    }

    /// The store, for what needs no engine (events, idempotency records, usage).
    pub fn store(&self) -> &Arc<dyn OrderStore> {
        &self.store
    }

    /// The order, if it is visible and (where a kind is given) of that kind.
    ///
    /// # Errors
    /// `not-found`, the same for unknown, not visible and another kind; `transient` when the store cannot read.
    pub async fn get(&self, visible: &Visible, id: OrderId, kind: Option<Kind>) -> Result<Order, Error> {
        let order = self.existing(id).await?;
        let seen = visible.covers(&order.owner(), order.group.as_deref());
        if seen && kind.is_none_or(|kind| kind == order.kind) { Ok(order) } else { Err(no_such_order()) }
    }

    /// One page of orders.
    ///
    /// # Errors
    /// `transient` when the store cannot read.
    pub async fn list(&self, query: &OrderQuery) -> Result<OrderPage, Error> {
        self.store.list(query).await
    }

    /// Asks the cloud now and writes what it answers. Where a look says nothing (nothing was made yet, or it is being deleted)
    /// the order is returned as it stands and its queue is told.
    ///
    /// # Errors
    /// `not-found`; `transient` when the cloud or the store is away.
    pub async fn refresh(&self, id: OrderId) -> Result<Order, Error> {
        for _ in 0..TRIES {
            let order = self.existing(id).await?;
            if !can_be_looked_at(&order) {
                if let Some(queue) = self.queue(&order.cloud) {
                    queue.nudge(id);
                }
                return Ok(order);
            }
            let mut memory = Memory::default();
            let generation = self.site.current();
            let mut step = Step { orders: self, claim: None, generation, memory: &mut memory };
            match step.look(&order).await {
                Ok(Ok(_)) => {
                    let mut order = self.existing(id).await?;
                    let now = self.clock.now();
                    if let Some(instance) = &mut order.instance {
                        instance.observed_at = Some(now);
                    }
                    return Ok(order);
                }
                Ok(Err(failure)) => {
                    let _ = step.away(&order, &failure).await;
                    let error = failure.error().clone();
                    return Err(if is_away(&error) {
                        error
                    } else {
                        Error { kind: ErrorKind::Transient, ..error }
                    });
                }
                Err(Trouble::Stale) => {}
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
        Err(Trouble::Stale.into_error())
    }

    /// Waits until the order is as wanted, or the time is up: then it is returned as it stands.
    ///
    /// # Errors
    /// `not-found`; `transient` when the store cannot read.
    pub async fn wait(&self, id: OrderId, until: WaitFor, timeout: Duration) -> Result<Order, Error> {
        let end = Instant::now() + timeout;
        let mut events = self.store.watch_events();
        loop {
            events.borrow_and_update();
            let order = self.existing(id).await?;
            let reached = match until {
                WaitFor::Settled => order.is_settled(),
                WaitFor::ChangedSince(version) => order.version != version,
            };
            if reached || Instant::now() >= end {
                return Ok(order);
            }
            // Every event of the store wakes every wait: the pause bounds the reads of many waits under load.
            let changed = async {
                let _ = events.changed().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            let _ = tokio::time::timeout_at(end, changed).await;
        }
    }

    /// Whether a cloud may be asked now, or is silent and only probed.
    ///
    /// # Errors
    /// `transient` with the code `cloud-silent` and when to come back.
    pub fn check_cloud(&self, cloud: &CloudName) -> Result<(), Error> {
        self.breakers.check(cloud)
    }

    /// The caller's local token for a cloud, for reads that belong to no order (specs, images, networks, quota).
    ///
    /// # Errors
    /// What the mapper answers.
    pub async fn cloud_token(&self, who: &Requester, cloud: &CloudBinding) -> Result<LocalToken, Error> {
        let context = Context {
            request_id: who.request_id.clone(),
            now: self.clock.now(),
            operation: Operation::Read,
            this_site: self.config.site.clone(),
            requesting_site: None,
            client_address: who.client_address.clone(),
            group: who.group.clone(),
        };
        let limit = Settings::ms(self.config.settings.call_timeout_ms);
        let account = within(limit, cloud.mapper.map_user(&who.user, cloud.name.as_str(), &context)).await?;
        self.tokens.get(cloud, &account, &context, who.session.as_ref()).await
    }

    /// Forgets a token that a driver would not take (`unauthenticated`); the next [`Orders::cloud_token`] asks the mapper anew.
    pub async fn forget_cloud_token(&self, cloud: &CloudBinding, token: &LocalToken) {
        self.tokens.drop_token(cloud, &token.account).await;
    }

    pub(crate) async fn existing(&self, id: OrderId) -> Result<Order, Error> {
        self.store.get(id).await?.ok_or_else(no_such_order)
    }

    pub(crate) fn queues(&self) -> MutexGuard<'_, BTreeMap<CloudName, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a draft; returns the order as it is stored then.
    pub(crate) async fn write(
        &self,
        draft: Draft,
        claim: Option<&Claim>,
        only_without_dependants: bool,
    ) -> Result<Order, Trouble> {
        let entered: Vec<State> = draft.entered().collect();
        let duplicates = draft.duplicates();
        let change = match draft.prepare(claim, only_without_dependants) {
            Prepared::Nothing(order) => return Ok(order),
            Prepared::Commit(change) => change,
        };
        let order = change.order.clone();
        match self.store.change(change).await {
            Ok(()) => {
                let mut figures = self.tally.count();
                for state in entered {
                    *figures.transitions.entry(state).or_default() += 1;
                }
                figures.duplicates_removed += u64::try_from(duplicates).unwrap_or(0);
                Ok(order)
            }
            Err(WriteError::Stale) => Err(Trouble::Stale),
            Err(WriteError::Fenced) => Err(Trouble::Fenced),
            Err(WriteError::Refused(error)) => Err(match error.kind {
                ErrorKind::Transient | ErrorKind::Internal => Trouble::Store(error),
                _ => Trouble::Refused(error),
            }),
        }
    }

    /// Puts an order into closing, whatever is written meanwhile. `None`: it is closing, closed or gone already.
    pub(crate) async fn begin_closing(
        &self,
        id: OrderId,
        why: Why,
        claim: Option<&Claim>,
    ) -> Result<Option<Order>, Trouble> {
        for _ in 0..TRIES {
            let Some(order) = self.store.get(id).await.map_err(Trouble::Store)? else { return Ok(None) };
            if matches!(order.state, State::Closing | State::Closed) {
                return Ok(None);
            }
            let draft =
                Draft::of(&order, self.clock.now()).go(State::Closing, why).map_err(Trouble::Defect)?;
            match self.write(draft, claim, false).await {
                Err(Trouble::Stale) => {}
                written => return written.map(Some),
            }
        }
        Err(Trouble::Stale)
    }
}

/// When an incarnation began: its UUIDv7 says so.
fn began(incarnation: Uuid) -> Timestamp {
    let (seconds, nanos) = incarnation.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let ms = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(0))
}

/// The same for unknown, not yours, and another kind.
pub(crate) fn no_such_order() -> Error {
    Error::not_found("there is no such order")
}

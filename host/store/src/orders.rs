//! Orders and everything that is committed with them: indexes, counters, events, idempotency keys, claims.
//!
//! Each write is one commit, decided on what was read before it and refused by the engine where that has changed
//! meanwhile; then it is decided anew. Two meetings matter:
//! - **Child and parent.** Accepting a child has "each parent is as I read it" as a precondition and counts the child at
//!   the parent; deleting a parent that must have none has "no children are counted" as a precondition. Whichever commit
//!   comes second sees the first.
//! - **The last slot.** Limits are counters with a bound, raised in the accepting commit itself.

mod accept;
mod change;
mod counting;
mod events;
mod forget;
mod idempotency;
mod list;
pub(crate) mod metering;
mod record;

use std::sync::Arc;

use archipel_model::order::{Order, State};
use archipel_model::plugin::Usage;
use archipel_model::{Clock, CloudName, Error, OrderId, Timestamp};
use archipel_orders::store::{
    Acceptance, Change, Claim, EventPage, EventQuery, IdempotencyRecord, IdempotencyScope, OrderPage,
    OrderQuery, OrderStore, WriteError,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use self::counting::{amounts_of, counted_in};
pub(crate) use self::events::StoredEvent;
pub(crate) use self::idempotency::Kept;
pub(crate) use self::record::{HeldAddress, Metered, Stored};
use crate::engine::{Commit, Engine, Range};
use crate::read_before::ReadBefore;
use crate::record::refusal;
use crate::store::time_bytes;
use crate::{claims, keys};

/// Orders that rest on one at most that a refusal names.
const NAMED_DEPENDANTS: usize = 1000;

pub(crate) struct OrderCollection {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    pub(crate) events: watch::Receiver<u64>,
    read_before: ReadBefore<OrderId, Stored>,
    incarnation: Uuid,
}

impl OrderCollection {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        events: watch::Receiver<u64>,
        incarnation: Uuid,
    ) -> Self {
        Self { engine, clock, events, read_before: ReadBefore::default(), incarnation }
    }

    async fn read(&self, id: OrderId) -> Result<Option<(Stored, Bytes)>, Error> {
        let Some(raw) = self.engine.get(&keys::order(id)).await? else { return Ok(None) };
        Ok(Some((self.read_before.decoded(id, &raw)?, raw)))
    }

    /// Orders that rest on this one and are not closed.
    async fn children(&self, parent: OrderId) -> Result<Vec<OrderId>, Error> {
        let entries = self.engine.range(&Range::prefix(&keys::children(parent), NAMED_DEPENDANTS)).await?;
        Ok(entries.iter().filter_map(|(key, _)| keys::order_at_end(key)).collect())
    }
}

/// Whether an order will never carry another.
fn is_gone(state: State) -> bool {
    matches!(state, State::FailedOnRequest | State::FailedAfterRequest | State::Closing | State::Closed)
}

#[async_trait]
impl OrderStore for OrderCollection {
    async fn accept(&self, acceptance: Acceptance) -> Result<Order, WriteError> {
        self.accept_order(acceptance).await
    }

    async fn change(&self, change: Change) -> Result<(), WriteError> {
        self.change_order(change).await
    }

    async fn get(&self, id: OrderId) -> Result<Option<Order>, Error> {
        Ok(self.read(id).await?.map(|(stored, _)| stored.order))
    }

    async fn list(&self, query: &OrderQuery) -> Result<OrderPage, Error> {
        self.list_orders(query).await
    }

    async fn active(
        &self,
        cloud: &CloudName,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderPage, Error> {
        self.list_active(cloud, after, limit).await
    }

    async fn dependants(&self, id: OrderId) -> Result<Vec<OrderId>, Error> {
        self.children(id).await
    }

    async fn usage(&self, counter: &str) -> Result<Usage, Error> {
        counting::usage(&*self.engine, counter).await
    }

    async fn claim(
        &self,
        queue: &CloudName,
        daemon: &str,
        now: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Claim>, Error> {
        claims::claim(&*self.engine, queue, daemon, now, ttl_ms).await
    }

    async fn events(&self, query: &EventQuery) -> Result<EventPage, Error> {
        self.page_of_events(query).await
    }

    fn watch_events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    async fn idempotency(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRecord>, Error> {
        self.read_idempotency(scope).await
    }

    async fn put_idempotency(
        &self,
        scope: &IdempotencyScope,
        record: &IdempotencyRecord,
    ) -> Result<(), Error> {
        self.write_idempotency(scope, record).await
    }

    async fn forget_before(
        &self,
        closed: Timestamp,
        events: Timestamp,
        keys: Timestamp,
        limit: usize,
    ) -> Result<usize, Error> {
        let orders = self.forget_closed(closed, limit).await?;
        let events = self.forget_events(events, limit).await?;
        let keys = self.forget_idempotency(keys, limit).await?;
        Ok(orders.saturating_add(events).saturating_add(keys))
    }

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn is_confirmed(&self) -> Result<bool, Error> {
        let confirmed = self.engine.get(keys::CONFIRMED).await?;
        Ok(confirmed.is_some_and(|text| text == self.incarnation.to_string().as_bytes()))
    }

    async fn confirm(&self) -> Result<(), Error> {
        let mut commit = Commit::new();
        commit.put(keys::CONFIRMED.to_vec(), self.incarnation.to_string());
        self.engine.commit(commit).await.map(|_| ()).map_err(refusal)
    }

    async fn probe(&self) -> Result<(), Error> {
        let mut commit = Commit::new();
        commit.put(keys::PROBE.to_vec(), time_bytes(self.clock.now()));
        self.engine.commit(commit).await.map(|_| ()).map_err(refusal)
    }
}

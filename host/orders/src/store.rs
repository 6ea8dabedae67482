//! What the order engine asks of durable storage. `store` implements it over any `Engine`; the engine's tests run
//! against every implementation. Nothing here names a tree, a closure or a transaction, so that a distributed engine
//! can serve it later. What an order counts for, and in which counters, says [`crate::amounts`].
//!
//! Every method that writes returns after the write is durable (group commit: many callers share one flush).

use std::collections::BTreeMap;

use archipel_model::audit::AuditRecord;
use archipel_model::event::Event;
use archipel_model::order::{Kind, Order, State};
use archipel_model::plugin::Usage;
use archipel_model::{CloudName, Error, OrderId, Owner, SiteId, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

/// A fencing token: grows whenever a queue changes hands. A write with an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// The right to work on one queue (one cloud) until `until`.
///
/// A claim covers a whole queue rather than single orders: a claim per order would cost a write per poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cloud.
    pub queue: CloudName,
    /// Goes into every [`Change`] made under it.
    pub epoch: Epoch,
    /// Renew before.
    pub until: Timestamp,
}

/// An event to be written with a change; the store gives it its sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// E.g. `org.archipel.order.open.v1`.
    pub kind: String,
    /// Its data.
    pub data: serde_json::Value,
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Someone wrote the order in between: read it again and decide anew.
    #[error("the order was changed by someone else")]
    Stale,
    /// The claim was lost: stop working on this queue.
    #[error("the claim on this queue was lost")]
    Fenced,
    /// A refusal with a reason for the client (dependants, limits, a dependency that is gone, a used key), or a
    /// store that cannot write (`transient`, code `store-unavailable`).
    #[error(transparent)]
    Refused(#[from] Error),
}

/// One transition: one commit of record, indexes, counters and events.
#[derive(Clone, Debug)]
pub struct Change {
    /// The new record. Its `revision` must be the stored one plus one.
    pub order: Order,
    /// The claim it is made under; `None` for a client's request.
    pub claim: Option<(CloudName, Epoch)>,
    /// What happened.
    pub events: Vec<NewEvent>,
    /// Refuse (`conflict`, code `dependants`, detail `dependants: [ids]`) while orders that are not closed rest on this one.
    pub only_without_dependants: bool,
}

/// One of the site's own limits, checked and counted in the accepting commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The counter: e.g. `user/ISSUER/SUBJECT`, `group/NAME`, `cloud/NAME`.
    pub counter: String,
    /// At most so much, counted over orders that are not closed; `None` = unlimited.
    pub instances: Option<u64>,
    /// Virtual CPUs.
    pub vcpu: Option<u64>,
    /// Memory in MiB.
    pub ram_mib: Option<u64>,
    /// Storage in GiB.
    pub disk_gib: Option<u64>,
}

/// Where an idempotency key holds: one owner, one path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyScope {
    /// Whose.
    pub owner: Owner,
    /// The request's path.
    pub path: String,
    /// The client's key.
    pub key: String,
}

/// The answer that a repeated request gets again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Location`, `ETag` and the like.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What is known of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// SHA-256 of the request's body, in hex.
    pub request_hash: String,
    /// When it was first seen; forgotten after 24 h.
    pub created_at: Timestamp,
    /// Ids that the orders of a bulk request get, so that a repetition after a crash completes it rather than doubling it.
    pub order_ids: Vec<OrderId>,
    /// The first answer; `None` = begun and not ended.
    pub answer: Option<StoredAnswer>,
}

/// An order to be accepted: the whole is one commit.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The record in state `open` (or `waiting`), version 1, revision 1.
    pub order: Order,
    /// What happened.
    pub events: Vec<NewEvent>,
    /// Limits that this order counts against.
    pub limits: Vec<Limit>,
    /// The idempotency key of a single create, with its answer.
    pub idempotency: Option<(IdempotencyScope, IdempotencyRecord)>,
    /// The record of the audit; the store puts the order's id into it.
    pub audit: Option<AuditRecord>,
}

/// Whose orders a query sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// One owner's.
    Own(Owner),
    /// One owner's and those of one group.
    Group(Owner, String),
    /// Everybody's.
    Any,
}

impl Visible {
    /// Whether an order is among them.
    pub fn covers(&self, owner: &Owner, group: Option<&str>) -> bool {
        match self {
            Self::Own(own) => own == owner,
            Self::Group(own, name) => own == owner || group == Some(name),
            Self::Any => true,
        }
    }
}

/// Which orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQuery {
    /// Whose.
    pub visible: Visible,
    /// One kind, or all.
    pub kind: Option<Kind>,
    /// These states; empty = all but closed.
    pub states: Vec<State>,
    /// One cloud.
    pub cloud: Option<CloudName>,
    /// One site.
    pub site: Option<SiteId>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
    /// With or without the condition.
    pub unreachable: Option<bool>,
    /// After this id (orders are listed by id, which is by time of making).
    pub after: Option<OrderId>,
    /// At most so many.
    pub limit: usize,
}

impl OrderQuery {
    /// The first `limit` orders that are not closed, of any kind, cloud and site.
    pub fn of(visible: Visible, limit: usize) -> Self {
        Self {
            visible,
            kind: None,
            states: Vec::new(),
            cloud: None,
            site: None,
            labels: BTreeMap::new(),
            unreachable: None,
            after: None,
            limit,
        }
    }
}

/// One page of orders.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OrderPage {
    /// By id.
    pub items: Vec<Order>,
    /// The next page starts after this id; `None` at the end.
    pub next: Option<OrderId>,
}

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Whose.
    pub visible: Visible,
    /// One order's, or all.
    pub subject: Option<OrderId>,
    /// After this sequence; `None` = from the oldest kept.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// One page of events.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EventPage {
    /// By sequence.
    pub items: Vec<Event>,
    /// Go on after this sequence: the last one *looked at*, so that a page without matches still advances.
    pub next: u64,
    /// More may be had at once.
    pub more: bool,
    /// The oldest sequence that is kept: a cursor before it has missed events.
    pub oldest: u64,
}

/// Orders and everything that is committed with them.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Accepts an order: checks that its id and idempotency key are new, that every order it depends on exists and is
    /// neither failed nor closing nor closed, and that no limit is exceeded (`conflict`, code `limit-exceeded`), counts it, writes it.
    /// An id that is already there with the same content is no error (a repeated bulk): the stored order is returned.
    async fn accept(&self, acceptance: Acceptance) -> Result<Order, WriteError>;

    /// Writes one transition.
    async fn change(&self, change: Change) -> Result<(), WriteError>;

    /// One order, closed ones too while they are kept.
    async fn get(&self, id: OrderId) -> Result<Option<Order>, Error>;

    /// A page of orders.
    async fn list(&self, query: &OrderQuery) -> Result<OrderPage, Error>;

    /// A page of all orders of a cloud that are not closed: what the scheduler loads at its start.
    async fn active(
        &self,
        cloud: &CloudName,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderPage, Error>;

    /// Orders that rest on this one and are not closed.
    async fn dependants(&self, id: OrderId) -> Result<Vec<OrderId>, Error>;

    /// What a counter holds now (see [`Limit::counter`]).
    async fn usage(&self, counter: &str) -> Result<Usage, Error>;

    /// Takes (or renews) the right to work on a queue. `None`: another daemon holds it.
    async fn claim(
        &self,
        queue: &CloudName,
        daemon: &str,
        now: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Claim>, Error>;

    /// A page of events.
    async fn events(&self, query: &EventQuery) -> Result<EventPage, Error>;

    /// The newest event's sequence, each time it grows. For streams and for `Prefer: wait`.
    fn watch_events(&self) -> watch::Receiver<u64>;

    /// What is known of an idempotency key.
    async fn idempotency(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRecord>, Error>;

    /// Writes (or completes) an idempotency record. Refused (`conflict`) when the key is there with another request hash.
    async fn put_idempotency(
        &self,
        scope: &IdempotencyScope,
        record: &IdempotencyRecord,
    ) -> Result<(), Error>;

    /// Forgets closed orders, events and idempotency keys older than the given instants; at most `limit` of each. Says how many.
    async fn forget_before(
        &self,
        closed: Timestamp,
        events: Timestamp,
        keys: Timestamp,
        limit: usize,
    ) -> Result<usize, Error>;

    /// The life of this store, a UUIDv7: made anew whenever a store is made or imported.
    fn incarnation(&self) -> Uuid;

    /// Whether what is not in this store may be taken as not wanted: one that was made here, or whose import somebody
    /// [confirmed](OrderStore::confirm).
    async fn is_confirmed(&self) -> Result<bool, Error>;

    /// Confirms this incarnation: what the clouds hold and this store does not know is nobody's. An import makes another
    /// incarnation, which is not confirmed.
    async fn confirm(&self) -> Result<(), Error>;

    /// Writes and flushes a probe: whether the store is writable now (`readyz`).
    async fn probe(&self) -> Result<(), Error>;
}

//! A store in memory that keeps every rule of `OrderStore` and nothing else, with switches for what a disk can do.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use archipel_model::event::Event;
use archipel_model::order::{Order, State};
use archipel_model::plugin::Usage;
use archipel_model::{CloudName, Error, OrderId, Timestamp};
use archipel_orders::amounts::{amounts, counters};
use archipel_orders::store::{
    Acceptance, Change, Claim, Epoch, EventPage, EventQuery, IdempotencyRecord, IdempotencyScope, NewEvent,
    OrderPage, OrderQuery, OrderStore, WriteError,
};
use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

#[derive(Default)]
struct Inner {
    orders: BTreeMap<OrderId, Order>,
    events: Vec<Event>,
    keys: HashMap<IdempotencyScope, IdempotencyRecord>,
    claims: HashMap<CloudName, (String, Claim)>,
    confirmed: Uuid,
}

pub struct MemoryStore {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    pub down: AtomicBool,
    pub writes: AtomicU64,
    incarnation: Mutex<Uuid>,
    clock: Arc<dyn archipel_model::Clock>,
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn archipel_model::Clock>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            newest: watch::Sender::new(0),
            down: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            incarnation: Mutex::default(),
            clock,
        })
    }

    fn inner(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::transient("the disk is away").code("store-unavailable"));
        }
        Ok(self.inner.lock().unwrap())
    }

    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub fn all(&self) -> Vec<Order> {
        self.inner.lock().unwrap().orders.values().cloned().collect()
    }

    pub fn order(&self, id: OrderId) -> Order {
        self.inner.lock().unwrap().orders[&id].clone()
    }

    pub fn event_words(&self, id: OrderId) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let own = inner.events.iter().filter(|event| event.subject == id);
        own.map(|event| {
            event.kind.trim_start_matches("org.archipel.order.").trim_end_matches(".v1").to_owned()
        })
        .collect()
    }

    /// The data of an order's first event of this kind.
    pub fn event_data(&self, id: OrderId, word: &str) -> serde_json::Value {
        let kind = format!("org.archipel.order.{word}.v1");
        let inner = self.inner.lock().unwrap();
        inner.events.iter().find(|event| event.subject == id && event.kind == kind).unwrap().data.clone()
    }

    /// Another daemon takes a queue, whoever holds it.
    pub fn steal(&self, queue: &CloudName, ttl_ms: u64) {
        let now = self.clock.now();
        let mut inner = self.inner.lock().unwrap();
        let epoch = inner.claims.get(queue).map_or(1, |(_, claim)| claim.epoch.0 + 1);
        let until = now.plus(std::time::Duration::from_millis(ttl_ms));
        let claim = Claim { queue: queue.clone(), epoch: Epoch(epoch), until };
        inner.claims.insert(queue.clone(), ("thief".into(), claim));
    }

    /// It becomes a copy that was restored now: a new incarnation that nobody has confirmed.
    pub fn restored(&self) {
        let now = self.clock.now().as_unsigned_millis();
        let at = uuid::Timestamp::from_unix_time(now / 1000, (now % 1000) as u32 * 1_000_000, 0, 0);
        *self.incarnation.lock().unwrap() = Uuid::new_v7(at);
    }

    fn put(&self, inner: &mut Inner, order: Order, events: Vec<NewEvent>, now: Timestamp) {
        for event in events {
            inner.events.push(Event {
                sequence: inner.events.len() as u64 + 1,
                kind: event.kind,
                subject: order.id,
                owner: order.owner(),
                group: order.group.clone(),
                time: now,
                data: event.data,
            });
        }
        inner.orders.insert(order.id, order);
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.newest.send_replace(inner.events.len() as u64);
    }
}

fn usage(inner: &Inner, counter: &str) -> Usage {
    let mut sum = Usage::default();
    for order in inner.orders.values().filter(|order| order.state != State::Closed) {
        if counters(order).iter().any(|name| name == counter) {
            add(&mut sum, amounts(order));
        }
    }
    sum
}

fn add(sum: &mut Usage, more: Usage) {
    sum.instances += more.instances;
    sum.vcpu += more.vcpu;
    sum.ram_mib += more.ram_mib;
    sum.disk_gib += more.disk_gib;
}

fn dependants(inner: &Inner, id: OrderId) -> Vec<OrderId> {
    let alive = inner.orders.values().filter(|order| order.state != State::Closed);
    alive.filter(|order| order.depends_on.iter().any(|on| on.order == id)).map(|order| order.id).collect()
}

#[async_trait]
impl OrderStore for MemoryStore {
    async fn accept(&self, acceptance: Acceptance) -> Result<Order, WriteError> {
        tokio::task::yield_now().await;
        let now = self.clock.now();
        let mut inner = self.inner()?;
        let order = acceptance.order;
        if let Some(stored) = inner.orders.get(&order.id) {
            return Ok(stored.clone());
        }
        if let Some((scope, _)) = &acceptance.idempotency
            && inner.keys.contains_key(scope)
        {
            return Err(Error::conflict("this key was used").into());
        }
        for on in &order.depends_on {
            let state = inner.orders.get(&on.order).map(|order| order.state);
            if state.is_none_or(|state| {
                matches!(
                    state,
                    State::FailedOnRequest | State::FailedAfterRequest | State::Closing | State::Closed
                )
            }) {
                return Err(Error::conflict("what it rests on is gone").into());
            }
        }
        for limit in &acceptance.limits {
            let mut sum = usage(&inner, &limit.counter);
            add(&mut sum, amounts(&order));
            let pairs = [
                (limit.instances, sum.instances),
                (limit.vcpu, sum.vcpu),
                (limit.ram_mib, sum.ram_mib),
                (limit.disk_gib, sum.disk_gib),
            ];
            if pairs.iter().any(|(most, sum)| most.is_some_and(|most| *sum > most)) {
                return Err(Error::conflict("that is more than allowed").code("limit-exceeded").into());
            }
        }
        if let Some((scope, record)) = acceptance.idempotency {
            inner.keys.insert(scope, record);
        }
        self.put(&mut inner, order.clone(), acceptance.events, now);
        Ok(order)
    }

    async fn change(&self, change: Change) -> Result<(), WriteError> {
        tokio::task::yield_now().await;
        let now = self.clock.now();
        let mut inner = self.inner()?;
        if let Some((queue, epoch)) = &change.claim
            && inner.claims.get(queue).is_none_or(|(_, claim)| claim.epoch != *epoch)
        {
            return Err(WriteError::Fenced);
        }
        let stored = inner.orders.get(&change.order.id).ok_or(WriteError::Stale)?;
        if change.order.revision != stored.revision + 1 {
            return Err(WriteError::Stale);
        }
        if change.only_without_dependants {
            let dependants = dependants(&inner, change.order.id);
            if !dependants.is_empty() {
                let ids: Vec<String> = dependants.iter().map(ToString::to_string).collect();
                return Err(Error::conflict("others rest on it")
                    .code("dependants")
                    .detail("dependants", ids)
                    .into());
            }
        }
        self.put(&mut inner, change.order, change.events, now);
        Ok(())
    }

    async fn get(&self, id: OrderId) -> Result<Option<Order>, Error> {
        Ok(self.inner()?.orders.get(&id).cloned())
    }

    async fn list(&self, query: &OrderQuery) -> Result<OrderPage, Error> {
        let inner = self.inner()?;
        let mut items: Vec<Order> = inner
            .orders
            .values()
            .filter(|order| query.after.is_none_or(|after| order.id > after))
            .filter(|order| query.cloud.as_ref().is_none_or(|cloud| *cloud == order.cloud))
            .filter(|order| query.visible.covers(&order.owner(), order.group.as_deref()))
            .filter(|order| match query.states.as_slice() {
                [] => order.state != State::Closed,
                states => states.contains(&order.state),
            })
            .take(query.limit + 1)
            .cloned()
            .collect();
        let next = (items.len() > query.limit).then(|| items[query.limit - 1].id);
        items.truncate(query.limit);
        Ok(OrderPage { items, next })
    }

    async fn active(
        &self,
        cloud: &CloudName,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderPage, Error> {
        let inner = self.inner()?;
        let mut items: Vec<Order> = inner
            .orders
            .values()
            .filter(|order| order.cloud == *cloud && order.state != State::Closed)
            .filter(|order| after.is_none_or(|after| order.id > after))
            .take(limit + 1)
            .cloned()
            .collect();
        let next = (items.len() > limit).then(|| items[limit - 1].id);
        items.truncate(limit);
        Ok(OrderPage { items, next })
    }

    async fn dependants(&self, id: OrderId) -> Result<Vec<OrderId>, Error> {
        Ok(dependants(&*self.inner()?, id))
    }

    async fn usage(&self, counter: &str) -> Result<Usage, Error> {
        Ok(usage(&*self.inner()?, counter))
    }

    async fn claim(
        &self,
        queue: &CloudName,
        daemon: &str,
        now: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Claim>, Error> {
        let mut inner = self.inner()?;
        let until = now.plus(std::time::Duration::from_millis(ttl_ms));
        let epoch = match inner.claims.get(queue) {
            Some((holder, claim)) if holder == daemon => claim.epoch,
            Some((_, claim)) if claim.until > now => return Ok(None),
            Some((_, claim)) => Epoch(claim.epoch.0 + 1),
            None => Epoch(1),
        };
        let claim = Claim { queue: queue.clone(), epoch, until };
        inner.claims.insert(queue.clone(), (daemon.to_owned(), claim.clone()));
        Ok(Some(claim))
    }

    async fn events(&self, query: &EventQuery) -> Result<EventPage, Error> {
        let inner = self.inner()?;
        let after = query.after.unwrap_or(0);
        let looked: Vec<&Event> =
            inner.events.iter().filter(|event| event.sequence > after).take(query.limit).collect();
        let next = looked.last().map_or(after, |event| event.sequence);
        let more = next < inner.events.len() as u64;
        let items = looked
            .into_iter()
            .filter(|event| query.visible.covers(&event.owner, event.group.as_deref()))
            .filter(|event| query.subject.is_none_or(|subject| subject == event.subject))
            .cloned()
            .collect();
        Ok(EventPage { items, next, more, oldest: 1 })
    }

    fn watch_events(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    async fn idempotency(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRecord>, Error> {
        Ok(self.inner()?.keys.get(scope).cloned())
    }

    async fn put_idempotency(
        &self,
        scope: &IdempotencyScope,
        record: &IdempotencyRecord,
    ) -> Result<(), Error> {
        self.inner()?.keys.insert(scope.clone(), record.clone());
        Ok(())
    }

    async fn forget_before(
        &self,
        closed: Timestamp,
        _: Timestamp,
        _: Timestamp,
        limit: usize,
    ) -> Result<usize, Error> {
        let mut inner = self.inner()?;
        let old: Vec<OrderId> = inner
            .orders
            .values()
            .filter(|order| order.state == State::Closed && order.updated_at < closed)
            .map(|order| order.id)
            .take(limit)
            .collect();
        for id in &old {
            inner.orders.remove(id);
        }
        Ok(old.len())
    }

    fn incarnation(&self) -> Uuid {
        *self.incarnation.lock().unwrap()
    }

    async fn is_confirmed(&self) -> Result<bool, Error> {
        Ok(self.inner()?.confirmed == self.incarnation())
    }

    async fn confirm(&self) -> Result<(), Error> {
        self.inner()?.confirmed = self.incarnation();
        Ok(())
    }

    async fn probe(&self) -> Result<(), Error> {
        self.inner().map(drop)
    }
}

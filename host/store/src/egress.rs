//! The ledger of requests that left for an order. Kept for as long as the order is, and only the newest: an order that is
//! looked at every minute for a year must not fill the disk.
//!
//! Trimmed in steps, because each removal reads: an order has up to a quarter more than was asked for, which readers are
//! not shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_model::egress::{EgressEntry, EgressLog, OrderEgress};
use archipel_model::{Error, OrderId};
use async_trait::async_trait;

use crate::engine::{Commit, Engine, Range};
use crate::judge::count;
use crate::keys;
use crate::record::{Record, decode, encode, refusal};

/// Entries that are written or removed in one commit.
const AT_A_TIME: usize = 90;
/// Orders whose number of entries is remembered.
const REMEMBERED: usize = 10_000;
/// Entries of one order that are read at most.
const MOST: usize = 100_000;

impl Record for EgressEntry {
    const NAME: &'static str = "outgoing request";
}

pub(crate) struct EgressCollection {
    engine: Arc<dyn Engine>,
    /// The most that were ever shown: set by the writer, so that readers need not be told.
    per_order: Mutex<usize>,
    /// How many entries an order has; a hint, for others may write too.
    counts: Mutex<HashMap<OrderId, usize>>,
}

impl EgressCollection {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, per_order: Mutex::new(MOST), counts: Mutex::default() }
    }

    /// How many entries an order has with `more`.
    async fn counted(&self, order: OrderId, more: usize) -> Result<usize, Error> {
        let known = self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&order).copied();
        let before = match known {
            Some(count) => count + more,
            // What was just written is read with the rest.
            None => self.engine.range(&Range::prefix(&keys::egress(order), MOST)).await?.len(),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REMEMBERED {
            counts.clear();
        }
        counts.insert(order, before);
        Ok(before)
    }

    /// Removes the oldest, but for `keep`.
    async fn trim(&self, order: OrderId, keep: usize) -> Result<(), Error> {
        let log = self.engine.range(&Range::prefix(&keys::egress(order), MOST)).await?;
        let old = log.len().saturating_sub(keep);
        for some in log.get(..old).unwrap_or_default().chunks(AT_A_TIME) {
            let mut commit = Commit::new();
            for (key, _) in some {
                commit.delete(key.clone());
            }
            let removed = i64::try_from(some.len()).unwrap_or_default();
            commit.add(keys::egress_forgotten(order), removed, None);
            self.engine.commit(commit).await.map_err(refusal)?;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(order, log.len() - old);
        Ok(())
    }
}

#[async_trait]
impl EgressLog for EgressCollection {
    async fn append(&self, entries: &[EgressEntry], per_order: usize) -> Result<(), Error> {
        *self.per_order.lock().unwrap_or_else(PoisonError::into_inner) = per_order;
        for some in entries.chunks(AT_A_TIME) {
            let mut commit = Commit::new();
            let mut orders: HashMap<OrderId, usize> = HashMap::new();
            for (ordinal, entry) in (0..).zip(some) {
                let Some(order) = entry.order else { continue };
                commit.append(keys::egress(order), ordinal, encode(entry)?);
                *orders.entry(order).or_default() += 1;
            }
            if orders.is_empty() {
                continue;
            }
            self.engine.commit(commit).await.map_err(refusal)?;
            for (order, more) in orders {
                if self.counted(order, more).await? > per_order + per_order / 4 {
                    self.trim(order, per_order).await?;
                }
            }
        }
        Ok(())
    }

    async fn of_order(&self, order: OrderId) -> Result<OrderEgress, Error> {
        let per_order = *self.per_order.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.engine.range(&Range::prefix(&keys::egress(order), MOST).reversed()).await?;
        let entries: Vec<EgressEntry> =
            log.iter().take(per_order).map(|(_, raw)| decode(raw)).collect::<Result<_, _>>()?;
        let hidden = log.len().saturating_sub(entries.len()) as u64;
        let removed = count(self.engine.get(&keys::egress_forgotten(order)).await?.as_ref());
        Ok(OrderEgress { entries, forgotten: removed.saturating_add(hidden) })
    }
}

/// Removes the ledger of an order that is itself about to be forgotten.
pub(crate) async fn forget(engine: &dyn Engine, order: OrderId) -> Result<(), Error> {
    loop {
        let log = engine.range(&Range::prefix(&keys::egress(order), AT_A_TIME)).await?;
        if log.is_empty() {
            return Ok(());
        }
        let mut commit = Commit::new();
        for (key, _) in &log {
            commit.delete(key.clone());
        }
        commit.delete(keys::egress_forgotten(order));
        engine.commit(commit).await.map_err(refusal)?;
    }
}

//! Pages of orders, by id, which is by time of making.
//!
//! A query reads the indexes of what it may see, merges them by id, and looks at the records. It reads the index of the
//! living before the one of the closed, so that an order that closes meanwhile is seen at least once, and merging keeps
//! it from being seen twice. It goes on until the page is full, however few orders match.

use std::collections::BTreeSet;

use archipel_model::order::{Order, State};
use archipel_model::{CloudName, Error, OrderId};
use archipel_orders::store::{OrderPage, OrderQuery, Visible};

use super::OrderCollection;
use super::record::Stored;
use crate::engine::{Key, Range};
use crate::keys::{self, Scope};
use crate::record::decode;

/// Index entries that are read at a time at least.
const CHUNK: usize = 128;
/// Orders of one page at most. Bounds memory.
const MAX_PAGE: usize = 10_000;

impl OrderCollection {
    pub(super) async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, Error> {
        let scopes = match (&query.visible, &query.cloud) {
            (Visible::Own(owner), _) => vec![Scope::owner(owner)],
            (Visible::Group(owner, group), _) => vec![Scope::owner(owner), Scope::group(group)],
            (Visible::Any, Some(cloud)) => vec![Scope::cloud(cloud)],
            (Visible::Any, None) => vec![Scope::all()],
        };
        let closed = query.states.contains(&State::Closed);
        let living = query.states.is_empty() || query.states.iter().any(|state| *state != State::Closed);
        let mut indexes: Vec<Key> = Vec::new();
        indexes.extend(scopes.iter().filter(|_| living).map(Scope::live));
        indexes.extend(scopes.iter().filter(|_| closed).map(Scope::closed));
        self.page(&indexes, query.after, query.limit, |order| matches(query, order)).await
    }

    pub(super) async fn list_active(
        &self,
        cloud: &CloudName,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderPage, Error> {
        let indexes = [Scope::cloud(cloud).live()];
        self.page(&indexes, after, limit, |order| order.cloud == *cloud && order.state != State::Closed).await
    }

    async fn page(
        &self,
        indexes: &[Key],
        after: Option<OrderId>,
        limit: usize,
        wanted: impl Fn(&Order) -> bool + Send,
    ) -> Result<OrderPage, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut items: Vec<Order> = Vec::new();
        let mut cursor = after;
        loop {
            let (ids, end) = self.merged(indexes, cursor, limit.saturating_add(1).max(CHUNK)).await?;
            let records: Vec<Key> = ids.iter().map(|id| keys::order(*id)).collect();
            for raw in self.engine.get_many(&records).await?.into_iter().flatten() {
                let Stored { order, .. } = decode(&raw)?;
                if !wanted(&order) {
                    continue;
                }
                if items.len() == limit {
                    return Ok(OrderPage { next: items.last().map(|last| last.id), items });
                }
                items.push(order);
            }
            match (end, ids.last()) {
                (false, Some(last)) => cursor = Some(*last),
                _ => return Ok(OrderPage { items, next: None }),
            }
        }
    }

    /// The next ids of several indexes together, and whether that was all. Where an index gave as many as were asked
    /// for, it may have more, so nothing beyond its last is believed complete.
    async fn merged(
        &self,
        indexes: &[Key],
        after: Option<OrderId>,
        chunk: usize,
    ) -> Result<(Vec<OrderId>, bool), Error> {
        let mut ids = BTreeSet::new();
        let mut sure: Option<OrderId> = None;
        for index in indexes {
            let mut range = Range::prefix(index, chunk);
            if let Some(after) = after {
                range = range.after(&keys::with_id(index, after));
            }
            let entries = self.engine.range(&range).await?;
            let found = entries.iter().filter_map(|(key, _)| keys::order_at_end(key));
            if entries.len() == chunk {
                let last = entries.last().and_then(|(key, _)| keys::order_at_end(key));
                sure = match (sure, last) {
                    (Some(sure), Some(last)) => Some(sure.min(last)),
                    (sure, last) => sure.or(last),
                };
            }
            ids.extend(found);
        }
        let ids = ids.into_iter().filter(|id| sure.is_none_or(|sure| *id <= sure)).collect();
        Ok((ids, sure.is_none()))
    }
}

fn matches(query: &OrderQuery, order: &Order) -> bool {
    let state = match query.states.is_empty() {
        true => order.state != State::Closed,
        false => query.states.contains(&order.state),
    };
    state
        && query.visible.covers(&order.owner(), order.group.as_deref())
        && query.kind.is_none_or(|kind| kind == order.kind)
        && query.cloud.as_ref().is_none_or(|cloud| *cloud == order.cloud)
        && query.site.as_ref().is_none_or(|site| *site == order.site)
        && query.unreachable.is_none_or(|unreachable| unreachable == order.unreachable.is_some())
        && query.labels.iter().all(|(key, value)| order.labels.get(key) == Some(value))
}

//! The log of events, numbered by the engine, with an index per order, owner and group.

use std::collections::BTreeSet;

use archipel_model::event::Event;
use archipel_model::order::Order;
use archipel_model::{Error, OrderId, Owner, Timestamp};
use archipel_orders::store::{EventPage, EventQuery, NewEvent, Visible};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OrderCollection;
use crate::engine::{Commit, Key, Range};
use crate::judge::{count, log_key, sequence_of};
use crate::keys;
use crate::record::{Record, decode, encode};

/// Events of one page at most. Bounds memory.
const MAX_PAGE: usize = 10_000;

/// An event without its number, which is its key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    #[serde(rename = "type")]
    kind: String,
    subject: OrderId,
    owner: Owner,
    group: Option<String>,
    pub(crate) time: Timestamp,
    data: serde_json::Value,
}

impl Record for StoredEvent {
    const NAME: &'static str = "event";
}

impl StoredEvent {
    /// The indexes that lead to it.
    pub(crate) fn indexes(&self) -> Vec<Key> {
        let mut all = vec![keys::events_of(self.subject), keys::events_of_owner(&self.owner)];
        all.extend(self.group.as_deref().map(keys::events_of_group));
        all
    }
}

impl OrderCollection {
    /// Adds events of an order to the commit that makes them true.
    pub(super) fn append_events(
        &self,
        commit: &mut Commit,
        order: &Order,
        events: &[NewEvent],
    ) -> Result<(), Error> {
        for (ordinal, event) in events.iter().enumerate() {
            let ordinal =
                u8::try_from(ordinal).map_err(|_| Error::internal("a change makes too many events"))?;
            let stored = StoredEvent {
                kind: event.kind.clone(),
                subject: order.id,
                owner: order.owner(),
                group: order.group.clone(),
                time: self.clock.now(),
                data: event.data.clone(),
            };
            for index in stored.indexes() {
                commit.append(index, ordinal, Bytes::new());
            }
            commit.append(keys::EVENTS.to_vec(), ordinal, encode(&stored)?);
        }
        Ok(())
    }

    pub(super) async fn page_of_events(&self, query: &EventQuery) -> Result<EventPage, Error> {
        // Taken first: every event up to it is readable below, so a page that finds nothing may go on after it.
        let newest = *self.events.borrow();
        let limit = query.limit.clamp(1, MAX_PAGE);
        let after = query.after.unwrap_or(0);
        let mut page = EventPage::default();
        let indexes = match (&query.subject, &query.visible) {
            (Some(order), _) => vec![keys::events_of(*order)],
            (None, Visible::Any) => vec![keys::EVENTS.to_vec()],
            (None, Visible::Own(owner)) => vec![keys::events_of_owner(owner)],
            (None, Visible::Group(owner, group)) => {
                vec![keys::events_of_owner(owner), keys::events_of_group(group)]
            }
        };
        let mut sequences = BTreeSet::new();
        for index in &indexes {
            let range = Range::prefix(index, limit.saturating_add(1)).after(&log_key(index, after));
            sequences.extend(self.engine.range(&range).await?.iter().filter_map(|(key, _)| sequence_of(key)));
        }
        page.more = sequences.len() > limit;
        let looked_at: Vec<u64> = sequences.into_iter().take(limit).collect();
        let keys: Vec<Key> = looked_at.iter().map(|sequence| log_key(keys::EVENTS, *sequence)).collect();
        for (sequence, raw) in looked_at.iter().zip(self.engine.get_many(&keys).await?) {
            let Some(raw) = raw else { continue };
            let StoredEvent { kind, subject, owner, group, time, data } = decode(&raw)?;
            if query.visible.covers(&owner, group.as_deref()) {
                page.items.push(Event { sequence: *sequence, kind, subject, owner, group, time, data });
            }
        }
        // Asked last: what was forgotten while the page was read is told, and not passed over in silence.
        let forgotten = count(self.engine.get(keys::FORGOTTEN).await?.as_ref());
        page.oldest = if forgotten == 0 { 0 } else { forgotten.saturating_add(1) };
        let last = looked_at.last().copied().unwrap_or(after);
        page.next = if page.more { last } else { last.max(newest).max(after) };
        Ok(page)
    }
}

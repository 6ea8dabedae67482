//! One transition of an order: record, indexes, counters, usage, addresses and events in one commit, refused when someone
//! else wrote the order, took its queue, or rests on it.

use archipel_model::Error;
use archipel_model::order::{Order, State};
use archipel_model::plugin::Usage;
use archipel_orders::store::{Change, WriteError};
use bytes::Bytes;

use super::record::Stored;
use super::{OrderCollection, counting};
use crate::claims::epoch_bytes;
use crate::engine::{Commit, CommitError};
use crate::keys::{self, Scope};
use crate::record::{TRIES, busy, encode, refusal};
use crate::{addresses, usage};

/// The preconditions of a change, by their place.
const RECORD: usize = 0;

impl OrderCollection {
    pub(super) async fn change_order(&self, change: Change) -> Result<(), WriteError> {
        let Change { order, claim, events, only_without_dependants } = change;
        for _ in 0..TRIES {
            let (known, raw) = self
                .read(order.id)
                .await?
                .ok_or_else(|| Error::not_found("there is no such order; it may have been forgotten"))?;
            if known.order.revision.checked_add(1) != Some(order.revision) {
                return Err(WriteError::Stale);
            }
            keeps_what_indexes_rest_on(&known.order, &order)?;
            let mut commit = Commit::new();
            commit.is(keys::order(order.id), Some(raw));
            if let Some((queue, epoch)) = &claim {
                commit.is(keys::epoch(queue), Some(epoch_bytes(*epoch)));
            }
            let fence = claim.as_ref().map(|_| RECORD.saturating_add(1));
            if only_without_dependants {
                commit.absent(keys::child_count(order.id));
            }
            let closes = order.state == State::Closed && known.order.state != State::Closed;
            let amounts = match order.state {
                State::Closed => Usage::default(),
                _ => counting::amounts_of(&order),
            };
            counting::recount(&mut commit, &known.counted, &amounts);
            if closes {
                close(&mut commit, &order);
            }
            let now = self.clock.now();
            let metered =
                usage::meter(&*self.engine, &mut commit, known.metered.as_ref(), &order, now).await?;
            let addresses =
                addresses::note(&*self.engine, &mut commit, &known.addresses, &order, now).await?;
            let mut stored = Stored { order: order.clone(), counted: known.counted, metered, addresses };
            stored.counted.amounts = amounts;
            commit.put(keys::order(order.id), encode(&stored)?);
            self.append_events(&mut commit, &order, &events)?;
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(RECORD)) => return Err(WriteError::Stale),
                Err(CommitError::Conflict(place)) if Some(place) == fence => return Err(WriteError::Fenced),
                Err(CommitError::Conflict(_)) => {
                    let dependants = self.children(order.id).await?;
                    if !dependants.is_empty() {
                        return Err(rested_upon(&dependants).into());
                    }
                }
                Err(error) => return Err(refusal(error).into()),
            }
        }
        Err(busy().into())
    }
}

/// Moves a closing order from the living to the closed, and lets go of what it rested on.
fn close(commit: &mut Commit, order: &Order) {
    for scope in Scope::of(order) {
        commit.delete(keys::with_id(&scope.live(), order.id));
        commit.put(keys::with_id(&scope.closed(), order.id), Bytes::new());
    }
    commit.put(keys::closed_at(order.updated_at, order.id), Bytes::new());
    for edge in &order.depends_on {
        commit.delete(keys::with_id(&keys::children(edge.order), order.id));
        commit.add(keys::child_count(edge.order), -1, None);
    }
}

/// What an order is listed and counted under never changes, and closed is the end.
fn keeps_what_indexes_rest_on(known: &Order, new: &Order) -> Result<(), Error> {
    let same = known.owner() == new.owner()
        && known.group == new.group
        && known.cloud == new.cloud
        && known.depends_on == new.depends_on
        && known.origin == new.origin
        && known.created_at == new.created_at;
    if !same {
        return Err(Error::internal(
            "a change would move an order to another owner, group, cloud or dependency",
        ));
    }
    if known.state == State::Closed && new.state != State::Closed {
        return Err(Error::internal("a change would open a closed order again"));
    }
    Ok(())
}

fn rested_upon(dependants: &[archipel_model::OrderId]) -> Error {
    let ids: Vec<String> = dependants.iter().map(ToString::to_string).collect();
    Error::conflict(format!(
        "{} orders rest on this one; delete them first, or delete with ?cascade=true",
        ids.len()
    ))
    .code("dependants")
    .detail("dependants", ids)
}

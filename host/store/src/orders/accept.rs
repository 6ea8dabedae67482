//! Accepting an order: everything that must be true of it, and everything that becomes true with it, in one commit.

use archipel_model::Error;
use archipel_model::audit::AuditRecord;
use archipel_model::order::{Order, State};
use archipel_orders::store::{Acceptance, WriteError};
use bytes::Bytes;

use super::record::Stored;
use super::{OrderCollection, counting, is_gone};
use crate::audit;
use crate::engine::{Commit, CommitError, Key};
use crate::keys::{self, Scope};
use crate::record::{TRIES, busy, decode, encode, refusal};

/// Orders that one may rest on: each takes three of a commit's hundred operations.
const MAX_PARENTS: usize = 16;

impl OrderCollection {
    pub(super) async fn accept_order(&self, acceptance: Acceptance) -> Result<Order, WriteError> {
        for _ in 0..TRIES {
            if let Some(stored) = self.accepted_before(&acceptance.order).await? {
                return Ok(stored);
            }
            let mut commit = Commit::new();
            commit.absent(keys::order(acceptance.order.id));
            self.require_parents(&mut commit, &acceptance.order).await?;
            if let Some((scope, record)) = &acceptance.idempotency {
                self.begin_idempotency(&mut commit, scope, record).await?;
            }
            if let Some(origin) = &acceptance.order.origin {
                let key = keys::origin(origin);
                if self.engine.get(&key).await.map_err(Error::from)?.is_some() {
                    let text = "the requesting site's order is here already; ask for it by its id";
                    return Err(Error::conflict(text).code("origin-taken").into());
                }
                commit.absent(key.clone()).put(key, acceptance.order.id.as_bytes().to_vec());
            }
            let (counted, bounded) = counting::count_in(&mut commit, &acceptance.order, &acceptance.limits)?;
            for scope in Scope::of(&acceptance.order) {
                commit.put(keys::with_id(&scope.live(), acceptance.order.id), Bytes::new());
            }
            let stored =
                Stored { order: acceptance.order.clone(), counted, metered: None, addresses: Vec::new() };
            commit.put(keys::order(acceptance.order.id), encode(&stored)?);
            self.append_events(&mut commit, &acceptance.order, &acceptance.events)?;
            if let Some(record) = &acceptance.audit {
                let record = AuditRecord {
                    order: Some(acceptance.order.id),
                    kind: Some(acceptance.order.kind.to_string()),
                    cloud: Some(acceptance.order.cloud.to_string()),
                    ..record.clone()
                };
                audit::add(&mut commit, 0, &record)?;
            }
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(acceptance.order),
                // Whatever it was is found by deciding anew.
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Bound { write, held }) => {
                    return Err(counting::exceeded(&bounded, write, held).into());
                }
                Err(error) => return Err(refusal(error).into()),
            }
        }
        Err(busy().into())
    }

    /// The order of this id, should it be there with the same content.
    async fn accepted_before(&self, order: &Order) -> Result<Option<Order>, WriteError> {
        let Some((stored, _)) = self.read(order.id).await? else { return Ok(None) };
        let known = stored.order;
        let same = known.kind == order.kind
            && known.name == order.name
            && known.spec == order.spec
            && known.owner() == order.owner()
            && known.group == order.group
            && known.cloud == order.cloud
            && known.depends_on == order.depends_on
            && known.origin == order.origin;
        match same {
            true => Ok(Some(known)),
            false => Err(Error::conflict("there is another order of this id; leave the id to the site")
                .code("id-taken")
                .into()),
        }
    }

    /// Every order it rests on exists and may carry it, and stays so until the commit.
    async fn require_parents(&self, commit: &mut Commit, order: &Order) -> Result<(), WriteError> {
        let parents: Vec<Key> = order.depends_on.iter().map(|edge| keys::order(edge.order)).collect();
        if parents.is_empty() {
            return Ok(());
        }
        if parents.len() > MAX_PARENTS {
            let text = format!(
                "an order rests on at most {MAX_PARENTS} others, this one on {}; name fewer",
                parents.len()
            );
            return Err(Error::invalid(text).into());
        }
        let raws = self.engine.get_many(&parents).await.map_err(Error::from)?;
        for (edge, raw) in order.depends_on.iter().zip(raws) {
            let gone = |state: Option<State>| {
                let how = state.map_or("not known here".to_owned(), |state| state.to_string());
                Error::conflict(format!(
                    "{} {}, which this rests on, is {how}; name another",
                    edge.kind, edge.order
                ))
                .code("dependency-gone")
                .detail("order", edge.order.to_string())
            };
            let raw = raw.ok_or_else(|| gone(None))?;
            let parent: Stored = decode(&raw)?;
            if is_gone(parent.order.state) {
                return Err(gone(Some(parent.order.state)).into());
            }
            commit.is(keys::order(edge.order), Some(raw));
            commit.put(keys::with_id(&keys::children(edge.order), order.id), Bytes::new());
            commit.add(keys::child_count(edge.order), 1, None);
        }
        Ok(())
    }
}

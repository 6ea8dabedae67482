//! Deleting orders, with what rests on them where that is asked for.
//!
//! With a cascade the order itself goes into closing first: from then on the store accepts nothing new that rests on it. Then its
//! children follow, and the order waits in closing for the last of them. A crash in between loses nothing: the step of a closing order
//! that still has children sends them after it.

use archipel_model::order::{Kind, Order, State};
use archipel_model::{Error, OrderId};

use crate::draft::Draft;
use crate::engine::{Orders, TRIES};
use crate::patch::check_version;
use crate::request::Deletion;
use crate::step::Trouble;
use crate::table::Why;

impl Orders {
    /// Begins (or ends at once) the deletion of an order.
    ///
    /// # Errors
    /// `not-found`; `conflict` with code `dependants` (detail `dependants: [ids]`), `precondition-failed`, or
    /// `precondition-required` (a network's cascade without `if_match`); `transient` when the store cannot write.
    pub async fn delete(
        &self,
        id: OrderId,
        if_match: Option<u64>,
        cascade: bool,
        dry_run: bool,
    ) -> Result<Deletion, Error> {
        for _ in 0..TRIES {
            let order = self.existing(id).await?;
            if dry_run {
                return self.tree(&order).await.map(Deletion::DryRun);
            }
            if order.state == State::Closed {
                return Ok(Deletion::Closed);
            }
            check_version(&order, if_match)?;
            if order.state == State::Closing {
                return Ok(Deletion::Closing(order));
            }
            if cascade && order.kind == Kind::Network && if_match.is_none() {
                return Err(Error::conflict(
                    "deleting a network with all that rests on it needs If-Match with the version you looked at",
                )
                .code("precondition-required"));
            }
            match self.delete_once(&order, cascade).await {
                Err(Trouble::Stale) => {}
                done => return done.map_err(Trouble::into_error),
            }
        }
        Err(Trouble::Stale.into_error())
    }

    async fn delete_once(&self, order: &Order, cascade: bool) -> Result<Deletion, Trouble> {
        let children = self.store.dependants(order.id).await.map_err(Trouble::Store)?;
        let mut draft =
            Draft::of(order, self.clock.now()).go(State::Closing, Why::Deleted).map_err(Trouble::Defect)?;
        if order.requested_at.is_none() && children.is_empty() {
            draft = draft.go(State::Closed, Why::NeverRequested).map_err(Trouble::Defect)?;
            // A child that is accepted at the same moment meets this commit, with a cascade too.
            return match self.write(draft, None, true).await {
                Err(Trouble::Refused(error)) if cascade && error.has_code("dependants") => {
                    Err(Trouble::Stale)
                }
                written => written.map(|_| Deletion::Closed),
            };
        }
        let order = self.write(draft, None, !cascade).await?;
        if cascade {
            let mut below = children;
            while let Some(id) = below.pop() {
                below.extend(self.store.dependants(id).await.map_err(Trouble::Store)?);
                self.begin_closing(id, Why::Cascade, None).await?;
            }
        }
        Ok(Deletion::Closing(order))
    }

    /// What a cascade would delete: children before their parents, each once, the order itself last.
    async fn tree(&self, order: &Order) -> Result<Vec<OrderId>, Error> {
        let mut found = vec![order.id];
        let mut at = 0;
        while let Some(id) = found.get(at).copied() {
            for child in self.store.dependants(id).await? {
                // One that is reached again moves behind its last parent.
                found.retain(|known| *known != child);
                found.push(child);
            }
            at = found.iter().position(|known| *known == id).map_or(at, |place| place + 1);
        }
        found.reverse();
        Ok(found)
    }
}

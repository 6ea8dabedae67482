//! What a search found: one is adopted, more than one are duplicates of which only the oldest may stay.
//!
//! Duplicates are deleted **before** the oldest is adopted: once the order holds an instance nobody searches again, so a crash
//! in between must leave the order searching.

use archipel_model::fail;
use archipel_model::order::{Order, State};
use archipel_model::plugin::Tagged;
use archipel_model::{ErrorKind, Timestamp};

use crate::observe::instance_of;
use crate::obtain::hold;
use crate::reach::{Failure, Reach};
use crate::step::{Next, Step, Trouble};
use crate::table::Why;

impl Step<'_> {
    /// Adopts the oldest and deletes the others.
    pub(crate) async fn adopt(
        &mut self,
        order: &Order,
        reach: &Reach<'_>,
        found: Vec<Tagged>,
    ) -> Result<Next, Trouble> {
        let Some(oldest) = found.first() else { return Ok(Next::NOW) };
        let removed = match delete_all_but(&oldest.instance.id, &found, order, reach).await {
            Ok(removed) => removed,
            Err(failure) => return self.not_deleted(order, &failure).await,
        };
        fail::point("before-adopt");
        let now = self.now();
        self.insist(order, |mut draft| {
            let instance = instance_of(&oldest.instance, &oldest.driver_state, now);
            for id in &removed {
                draft = draft.duplicate_removed(id);
            }
            match draft.order().state {
                State::Selected => {
                    draft.edit(|order| hold(order, instance)).reached().go(State::Spawning, Why::Made)
                }
                State::Closing if draft.order().instance.is_none() => {
                    Ok(draft.edit(|order| hold(order, instance)))
                }
                _ => Ok(draft),
            }
        })
        .await?;
        self.memory.failures = 0;
        self.memory.quiet = 0;
        Ok(Next::NOW)
    }

    /// Deletes all instances of the order but the one that it holds; says which.
    pub(crate) async fn remove_twins(
        &self,
        order: &Order,
        reach: &Reach<'_>,
        held: &str,
    ) -> Result<Vec<String>, Failure> {
        let found = match reach.find().await {
            Err(Failure::Cloud(error)) if error.kind == ErrorKind::Unsupported => Vec::new(),
            found => found?,
        };
        delete_all_but(held, &found, order, reach).await
    }

    /// Deletes all that was found: nobody wants it any more.
    pub(crate) async fn remove_found(
        &mut self,
        order: &Order,
        reach: &Reach<'_>,
        found: &[Tagged],
    ) -> Result<Next, Trouble> {
        for one in found {
            if let Err(failure) = reach.delete(&one.instance.id, &one.driver_state).await {
                return self.not_deleted(order, &failure).await;
            }
        }
        let now = self.now();
        let mut draft = self.draft(order).reached();
        self.memory.failures = 0;
        // A cloud that takes its time lists it for a while: that is no news and no write.
        if order
            .closing
            .as_ref()
            .is_none_or(|closing| closing.accepted_at.is_none() || closing.not_found_at.is_some())
        {
            for one in found.iter().skip(1) {
                draft = draft.duplicate_removed(&one.instance.id);
            }
            draft = draft.edit(|order| accepted(order, now));
        }
        self.write(draft).await?;
        Ok(self.look_again(None))
    }

    /// A delete that did not go through. What passes is the condition; what does not is a fault and a slow retry; the order
    /// stays where it is.
    pub(crate) async fn not_deleted(&mut self, order: &Order, failure: &Failure) -> Result<Next, Trouble> {
        match failure {
            Failure::Cloud(error) if error.kind == ErrorKind::Conflict => {
                self.write(self.draft(order).reached().fault(error, None)).await?;
                let wait = self.back_off(error);
                Ok(Next::after(wait))
            }
            Failure::Cloud(error)
                if !matches!(
                    error.kind,
                    ErrorKind::Transient | ErrorKind::Internal | ErrorKind::Unauthenticated
                ) =>
            {
                self.write(self.draft(order).reached().fault(error, None)).await?;
                Ok(self.slowly().or_on_config())
            }
            _ => self.away(order, failure).await,
        }
    }
}

/// Deletes the twins of an order's instance; says which.
async fn delete_all_but(
    kept: &str,
    found: &[Tagged],
    order: &Order,
    reach: &Reach<'_>,
) -> Result<Vec<String>, Failure> {
    let mut removed = Vec::new();
    for twin in found.iter().filter(|twin| twin.instance.id != kept) {
        tracing::warn!(order = %order.id, instance = %twin.instance.id, kept, "made twice; deleting this one");
        reach.delete(&twin.instance.id, &twin.driver_state).await?;
        removed.push(twin.instance.id.clone());
    }
    Ok(removed)
}

/// The cloud took the delete: count the two looks anew.
pub(crate) fn accepted(order: &mut Order, now: Timestamp) {
    if let Some(closing) = &mut order.closing {
        closing.accepted_at = Some(now);
        closing.not_found_at = None;
        order.fault = None;
    }
}

//! From `closing` to `closed`: nothing is called gone that is not.
//!
//! Closed = not found twice, at least `settle` apart, after the delete was accepted or a search found nothing. What rests on the
//! order goes first. A refusal for good leaves the order in closing with the fault, tried again slowly; an account that the mapper
//! no longer gives leaves it unreachable. It is never closed because nobody could look.

use archipel_model::order::{Closing, Order, State, Status};
use archipel_model::plugin::{CreateBehaviour, InstanceView, Observed, Operation};
use archipel_model::{ErrorKind, Timestamp};

use crate::adopt::accepted;
use crate::reach::{Failure, Reach};
use crate::settings::Settings;
use crate::step::{self, Next, Step, Trouble};
use crate::table::Why;

impl Step<'_> {
    /// `closing`.
    pub(crate) async fn close(&mut self, order: Order) -> Result<Next, Trouble> {
        let children = self.orders.store.dependants(order.id).await.map_err(Trouble::Store)?;
        if !children.is_empty() {
            for child in children {
                self.orders.begin_closing(child, Why::Cascade, self.claim.as_ref()).await?;
            }
            // The last child's `closed` wakes it; the slow look is for an event that was never seen.
            return Ok(self.slowly());
        }
        if order.requested_at.is_none() {
            return self.closed(&order, Why::NeverRequested).await;
        }
        let reach = match self.reach(&order, Operation::Delete).await {
            Ok(reach) => reach,
            Err(Failure::Cloud(error)) if error.kind == ErrorKind::Unsupported => {
                return self.not_deleted(&order, &Failure::Cloud(error)).await;
            }
            Err(failure) => return self.away(&order, &failure).await,
        };
        match &order.instance {
            None => self.close_unseen(&order, &reach).await,
            Some(instance) if order.closing.as_ref().is_none_or(|closing| closing.accepted_at.is_none()) => {
                if let Err(failure) = reach.delete(&instance.id, &instance.driver_state).await {
                    return self.not_deleted(&order, &failure).await;
                }
                let now = self.now();
                self.memory.deleted_at = Some(now);
                (self.memory.failures, self.memory.quiet) = (0, 0);
                self.write(self.draft(&order).reached().edit(|order| accepted(order, now))).await?;
                Ok(self.look_again(None))
            }
            Some(instance) => match reach.get(&instance.id, &instance.driver_state).await {
                Ok(Observed::Gone) => self.not_found(&order, &reach).await,
                Ok(Observed::Present(view)) => self.still_there(&order, &reach, &view).await,
                Err(failure) => self.not_deleted(&order, &failure).await,
            },
        }
    }

    /// One of the two not-founds, or the second.
    async fn not_found(&mut self, order: &Order, reach: &Reach<'_>) -> Result<Next, Trouble> {
        let now = self.now();
        let settle = reach.describe().settle;
        self.memory.failures = 0;
        match order.closing.as_ref().and_then(|closing| closing.not_found_at) {
            None => {
                let draft = self.draft(order).reached();
                self.write(draft.edit(|order| {
                    let accepted_at =
                        order.closing.as_ref().and_then(|closing| closing.accepted_at).or(Some(now));
                    order.closing = Some(Closing { accepted_at, not_found_at: Some(now) });
                }))
                .await?;
                Ok(Next::after(settle.max(Settings::ms(self.settings().poll_least_ms))))
            }
            Some(first) if !self.left_of(settle, first).is_zero() => {
                self.write(self.draft(order).reached()).await?;
                Ok(Next::after(self.left_of(settle, first)))
            }
            Some(_) => {
                // More than one attempt may have left more than the order holds.
                if order.instance.is_some() && order.attempts > 1 {
                    match reach.find().await {
                        Ok(found) if found.is_empty() => {}
                        Ok(found) => {
                            for one in &found {
                                if let Err(failure) = reach.delete(&one.instance.id, &one.driver_state).await
                                {
                                    return self.not_deleted(order, &failure).await;
                                }
                            }
                            let draft = found.iter().fold(self.draft(order), |draft, one| {
                                draft.duplicate_removed(&one.instance.id)
                            });
                            self.write(draft.edit(|order| accepted(order, now))).await?;
                            return Ok(self.look_again(None));
                        }
                        Err(Failure::Cloud(error)) if error.kind == ErrorKind::Unsupported => {}
                        Err(failure) => return self.not_deleted(order, &failure).await,
                    }
                }
                self.closed(order, Why::Gone).await
            }
        }
    }

    async fn still_there(
        &mut self,
        order: &Order,
        reach: &Reach<'_>,
        view: &InstanceView,
    ) -> Result<Next, Trouble> {
        let now = self.now();
        let asked = *self.memory.deleted_at.get_or_insert(now);
        // What is not busy going after `settle` did not take the delete: it may not have shown yet when that was asked for.
        let settings = self.settings();
        let patience = Settings::ms(settings.delete_again_ms);
        let patience = match view.status {
            Status::Busy => patience,
            _ => patience.min(reach.describe().settle.max(Settings::ms(settings.poll_first_ms))),
        };
        if self.left_of(patience, asked).is_zero() {
            let instance = order.instance.as_ref();
            let driver_state = instance.map_or("", |instance| instance.driver_state.as_str());
            // Looks that succeed do not shorten the back-off of deletes that are refused.
            if let Err(failure) = reach.delete(&view.id, driver_state).await {
                return self.not_deleted(order, &failure).await;
            }
            self.memory.deleted_at = Some(now);
            self.memory.quiet = 0;
        }
        self.memory.failures = 0;
        let draft = self.draft(order).reached().edit(|order| {
            if let Some(closing) = &mut order.closing {
                closing.not_found_at = None;
            }
            if let Some(instance) = &mut order.instance
                && (instance.status, &instance.cloud_state) != (view.status, &view.cloud_state)
            {
                instance.status = view.status;
                instance.cloud_state.clone_from(&view.cloud_state);
                instance.observed_at = Some(now);
            }
        });
        self.write(draft).await?;
        Ok(self.look_again(view.poll_after))
    }

    /// The cloud was asked, and no id is known.
    async fn close_unseen(&mut self, order: &Order, reach: &Reach<'_>) -> Result<Next, Trouble> {
        let behaviour = reach.describe().create;
        if behaviour == CreateBehaviour::Neither {
            return self.cannot_search(order, reach).await;
        }
        match reach.find().await {
            Ok(found) if found.is_empty() => {
                let ended = order.requested_at.max(self.memory.ended_at).unwrap_or(order.created_at);
                self.wait_out(order, reach, ended).await
            }
            Ok(found) => self.remove_found(order, reach, &found).await,
            Err(Failure::Cloud(error)) if error.kind == ErrorKind::Unsupported => {
                self.cannot_search(order, reach).await
            }
            Err(failure) => self.not_deleted(order, &failure).await,
        }
    }

    /// A search before the attempt has settled proves nothing, so it does not count as the last one.
    async fn wait_out(
        &mut self,
        order: &Order,
        reach: &Reach<'_>,
        ended: Timestamp,
    ) -> Result<Next, Trouble> {
        let left = self.left_of(reach.describe().settle, ended);
        let seen_before = order.closing.as_ref().is_some_and(|closing| closing.not_found_at.is_some());
        if seen_before && !left.is_zero() {
            return Ok(Next::after(left));
        }
        self.not_found(order, reach).await
    }

    /// No search: closed only where nothing can be there, else the id is learned by repeating an idempotent create, else it stays.
    async fn cannot_search(&mut self, order: &Order, reach: &Reach<'_>) -> Result<Next, Trouble> {
        if !order.outcome_unknown {
            return self.closed(order, Why::NeverRequested).await;
        }
        if reach.describe().create == CreateBehaviour::Idempotent {
            match reach.request(order.attempts.saturating_add(1)).await {
                Ok(created) => return self.keep(order, reach, &created).await,
                Err(Failure::Cloud(error)) if error.kind != ErrorKind::Transient => {
                    return self.not_deleted(order, &Failure::Cloud(error)).await;
                }
                Err(failure) => return self.away(order, &failure).await,
            }
        }
        self.write(self.draft(order).reached().fault(&step::unknown_outcome(order), None)).await?;
        Ok(Next::EVENT)
    }

    async fn closed(&mut self, order: &Order, why: Why) -> Result<Next, Trouble> {
        let draft = self.draft(order).go(State::Closed, why).map_err(Trouble::Defect)?;
        let draft = draft.edit(|order| order.outcome_unknown = false);
        self.write(draft).await?;
        Ok(Next::FORGET)
    }
}

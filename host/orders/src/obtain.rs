//! From `open` to `spawning`: at most one instance, whatever ends an attempt.
//!
//! `selected` is committed with account, time and attempt **before** the cloud is asked, with the outcome marked unknown. From
//! then on only the cloud's own word changes that mark: an instance, a refusal that surely did nothing, or a search that
//! finds nothing after `settle`. Every attempt but the first starts with a search, the first too where the order is older than
//! the store's incarnation (a restored copy does not know what came after it); where creates are idempotent, and only there, one
//! whose outcome is unknown may be repeated before it settled.

use std::time::Duration;

use archipel_model::fail;
use archipel_model::order::{Instance, OnQuota, Order, State, Status, WaitingFor};
use archipel_model::plugin::{CreateBehaviour, Created, Operation};
use archipel_model::site::CloudState;
use archipel_model::{Applied, Error, ErrorKind};

use crate::pace;
use crate::reach::{self, Failure, Reach};
use crate::settings::Settings;
use crate::step::{self, Next, Step, Trouble};
use crate::table::Why;
use crate::tokens::within;

impl Step<'_> {
    /// `open` and `waiting`: see whether it can be taken, and take it.
    pub(crate) async fn prepare(&mut self, order: &Order) -> Result<Next, Trouble> {
        if self.deadline_passed(order) {
            return self.give_up(order, Why::DeadlinePassed, &step::deadline_error()).await;
        }
        let mut waiting_for = Vec::new();
        for on in &order.depends_on {
            let state =
                self.orders.store.get(on.order).await.map_err(Trouble::Store)?.map(|order| order.state);
            match state {
                Some(state) if state.satisfies_dependants() => {}
                None
                | Some(State::FailedOnRequest | State::FailedAfterRequest | State::Closing | State::Closed) =>
                {
                    let error = Error::permanent(format!(
                        "{} {} that this rests on failed or is being deleted; order both anew",
                        on.kind, on.order
                    ));
                    let draft = self
                        .draft(order)
                        .go(State::FailedOnRequest, Why::DependencyFailed)
                        .map_err(Trouble::Defect)?
                        .fault(&error.code("dependency-failed"), Some(on.order));
                    self.write(draft).await?;
                    return Ok(Next::EVENT);
                }
                Some(_) => waiting_for.push(WaitingFor::Order { order: on.order }),
            }
        }
        let cloud = match reach::cloud_of(&self.generation, order) {
            Ok(cloud) => cloud,
            Err(error) => return self.away(order, &Failure::Cloud(error)).await,
        };
        if cloud.state == CloudState::Maintenance {
            waiting_for.push(WaitingFor::Maintenance);
        }
        let held = self.held_back(order).filter(|_| !self.memory.quota_freed);
        if held.is_some() && order.waiting_for.contains(&WaitingFor::Quota) {
            waiting_for.push(WaitingFor::Quota);
        }
        if !waiting_for.is_empty() {
            return self.keep_waiting(order, waiting_for).await;
        }
        if let Some(left) = held {
            if order.state == State::Waiting {
                self.write(self.draft(order).go(State::Open, Why::WaitOver).map_err(Trouble::Defect)?)
                    .await?;
            }
            return Ok(Next::after(left));
        }
        self.memory.quota_freed = false;
        match reach::driver_of(&cloud, order) {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Unsupported => {
                return self.give_up(order, Why::RefusedBefore, &error).await;
            }
            Err(error) => return self.away(order, &Failure::Cloud(error)).await,
        }
        let account = match &order.local_account {
            Some(account) => account.clone(),
            None => {
                let context = reach::context(self.orders, order, Operation::Create);
                let limit = Settings::ms(self.settings().call_timeout_ms);
                let call = cloud.mapper.map_user(&order.user, cloud.name.as_str(), &context);
                match within(limit, call).await {
                    Ok(account) => account,
                    Err(error) => match error.kind {
                        ErrorKind::Transient | ErrorKind::Internal | ErrorKind::Unauthenticated => {
                            return self.away(order, &Failure::Account(error)).await;
                        }
                        _ => return self.give_up(order, Why::RefusedBefore, &error).await,
                    },
                }
            }
        };
        self.take(order, account).await
    }

    async fn keep_waiting(&mut self, order: &Order, waiting_for: Vec<WaitingFor>) -> Result<Next, Trouble> {
        let on_quota = waiting_for.contains(&WaitingFor::Quota);
        let mut draft = self.draft(order);
        if order.state == State::Open {
            draft = draft.go(State::Waiting, Why::MustWait).map_err(Trouble::Defect)?;
        }
        let order = self.write(draft.edit(|order| order.waiting_for = waiting_for)).await?;
        // Events end the wait; the slow look is for an event that was never seen.
        let mut next = self.slowly().or_on_config();
        if on_quota && order.retry_at.is_some() {
            next.after = Some(self.held_back(&order).unwrap_or_default());
            next.on_quota = true;
        }
        Ok(next)
    }

    async fn give_up(&mut self, order: &Order, why: Why, error: &Error) -> Result<Next, Trouble> {
        let draft = self.draft(order).go(State::FailedOnRequest, why).map_err(Trouble::Defect)?;
        self.write(draft.fault(error, None).reached().edit(|order| order.outcome_unknown = false)).await?;
        Ok(Next::EVENT)
    }

    /// Commits `selected`, then asks.
    async fn take(&mut self, order: &Order, account: String) -> Result<Next, Trouble> {
        let reach = match Reach::new(self.orders, &self.generation, order, &account, Operation::Create).await
        {
            Ok(reach) => reach,
            Err(failure) => return self.away(order, &failure).await,
        };
        // Asked for before the commit: a mapper that is away costs no attempt.
        if let Err(failure) = reach.token().await {
            return self.away(order, &failure).await;
        }
        let order = self.commit_attempt(order, Some(account)).await?;
        self.memory.failures = 0;
        let behaviour = reach.describe().create;
        // A store that was restored does not know what was done about its orders after it was copied.
        let is_from_before = order.attempts == 1 && order.created_at < self.orders.store_began;
        if is_from_before && behaviour == CreateBehaviour::Neither {
            return self.stop_and_say(&order).await;
        }
        if (order.attempts > 1 || is_from_before) && behaviour != CreateBehaviour::Neither {
            match reach.find().await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => return self.adopt(&order, &reach, found).await,
                Err(failure) => {
                    if !matches!(&failure, Failure::Cloud(error) if error.kind == ErrorKind::Unsupported) {
                        // Nothing was asked for in this attempt, and the one before is known to have done nothing.
                        let error = failure.error();
                        let passing = Error::transient(error.message.clone());
                        let passing = Error { retry_after: error.retry_after, ..passing };
                        return self.judge(&order, &passing, false).await;
                    }
                }
            }
        }
        self.ask(&order, &reach, false).await
    }

    async fn commit_attempt(&mut self, order: &Order, account: Option<String>) -> Result<Order, Trouble> {
        let now = self.now();
        let mut draft = self.draft(order);
        if order.state != State::Selected {
            draft = draft.go(State::Selected, Why::Taken).map_err(Trouble::Defect)?;
        }
        let draft = draft.reached().edit(|order| {
            order.local_account = account.or(order.local_account.take());
            order.requested_at = Some(now);
            order.attempts = order.attempts.saturating_add(1);
            order.outcome_unknown = true;
            order.retry_at = None;
            order.fault = None;
        });
        let order = self.write(draft).await?;
        self.memory.ended_at = None;
        self.memory.unasked = false;
        fail::point("after-selected");
        Ok(order)
    }

    /// The create itself. `unknown_before`: an attempt before this one may have made it.
    async fn ask(&mut self, order: &Order, reach: &Reach<'_>, unknown_before: bool) -> Result<Next, Trouble> {
        fail::point("before-request-instance");
        let answer = reach.request(order.attempts).await;
        fail::point("after-request-instance");
        match answer {
            Ok(created) => self.keep(order, reach, &created).await,
            Err(Failure::Cloud(error)) => self.judge(order, &error, unknown_before).await,
            Err(Failure::Account(error)) => {
                self.judge(order, &Error::transient(error.message).applied(Applied::No), unknown_before).await
            }
        }
    }

    /// Writes the instance into the order, whatever was done to the order meanwhile.
    pub(crate) async fn keep(
        &mut self,
        order: &Order,
        reach: &Reach<'_>,
        created: &Created,
    ) -> Result<Next, Trouble> {
        let written = self
            .insist(order, |draft| {
                let instance = fresh_instance(created);
                match (draft.order().state, &draft.order().instance) {
                    (State::Selected, _) => {
                        draft.edit(|order| hold(order, instance)).reached().go(State::Spawning, Why::Made)
                    }
                    (State::Closing, None) => Ok(draft.edit(|order| {
                        hold(order, instance);
                        order.closing = Some(archipel_model::order::Closing::default());
                    })),
                    _ => Ok(draft),
                }
            })
            .await?;
        self.memory.failures = 0;
        self.memory.quiet = 0;
        if written.instance.as_ref().is_some_and(|instance| instance.id == created.id) {
            return Ok(if written.state == State::Closing { Next::NOW } else { self.look_again(None) });
        }
        // Another daemon settled the order while this call was on its way: what this call made is nobody's.
        tracing::warn!(order = %order.id, instance = %created.id, "an instance came too late for its order; deleting it");
        match reach.delete(&created.id, &created.driver_state).await {
            Ok(()) => {
                self.insist(&written, |draft| Ok(draft.duplicate_removed(&created.id))).await?;
            }
            Err(failure) => {
                tracing::error!(order = %order.id, instance = %created.id, error = %failure.error(), "it could not be deleted; look for it in the cloud");
            }
        }
        Ok(Next::NOW)
    }

    /// What a failed create means.
    async fn judge(&mut self, order: &Order, error: &Error, unknown_before: bool) -> Result<Next, Trouble> {
        let wait = pace::respecting(error, self.retry_wait(order), self.settings());
        let retry_at = self.now().plus(wait);
        let unknown = error.applied != Applied::No || unknown_before;
        let hold_back = unknown_before || error.retry_after.is_some();
        let passes =
            matches!(error.kind, ErrorKind::Transient | ErrorKind::Internal | ErrorKind::Unauthenticated);
        if unknown {
            self.memory.ended_at = Some(self.now());
        }
        let written = self
            .insist(order, |draft| match draft.order().state {
                State::Selected if unknown => Ok(draft
                    .fault(error, None)
                    .edit(|order| order.retry_at = Some(retry_at).filter(|_| hold_back))),
                State::Selected if passes => Ok(draft
                    .go(State::Open, Why::NothingDone)?
                    .fault(error, None)
                    .edit(|order| (order.outcome_unknown, order.retry_at) = (false, Some(retry_at)))),
                State::Selected
                    if error.kind == ErrorKind::QuotaExceeded && draft.order().on_quota == OnQuota::Wait =>
                {
                    Ok(draft.go(State::Waiting, Why::QuotaUsedUp)?.fault(error, None).edit(|order| {
                        (order.outcome_unknown, order.retry_at) = (false, Some(retry_at));
                        order.waiting_for = vec![WaitingFor::Quota];
                    }))
                }
                State::Selected => Ok(draft
                    .go(State::FailedOnRequest, Why::Refused)?
                    .fault(error, None)
                    .edit(|order| order.outcome_unknown = false)),
                State::Closing if !unknown => Ok(draft.edit(|order| order.outcome_unknown = false)),
                _ => Ok(draft),
            })
            .await?;
        Ok(match written.state {
            State::Selected => self.look_again(None),
            State::Open => Next::after(wait),
            State::Waiting => Next { on_quota: true, ..Next::after(wait).or_on_config() },
            State::Closing => Next::NOW,
            _ => Next::EVENT,
        })
    }

    /// `selected`, and how the attempt ended is not known: a crash, a time-out, a lost answer.
    pub(crate) async fn resume(&mut self, order: &Order) -> Result<Next, Trouble> {
        if let Some(left) = self.held_back(order) {
            return Ok(Next::after(left));
        }
        let reach = match self.reach(order, Operation::Create).await {
            Ok(reach) => reach,
            Err(failure) => return self.away(order, &failure).await,
        };
        let descriptor = reach.describe();
        let idempotent = descriptor.create == CreateBehaviour::Idempotent;
        if descriptor.create == CreateBehaviour::Neither {
            return self.stop_and_say(order).await;
        }
        let found = match reach.find().await {
            Ok(found) => Some(found),
            Err(Failure::Cloud(error)) if error.kind == ErrorKind::Unsupported => None,
            Err(failure) => return self.away(order, &failure).await,
        };
        self.memory.failures = 0;
        let now = self.now();
        let ended = order.requested_at.max(self.memory.ended_at).unwrap_or(order.created_at);
        let left = self.left_of(descriptor.settle, ended);
        match found {
            Some(found) if !found.is_empty() && self.deadline_passed(order) => {
                self.remove_found(order, &reach, &found).await
            }
            Some(found) if !found.is_empty() => self.adopt(order, &reach, found).await,
            Some(_) if left.is_zero() && self.deadline_passed(order) => {
                self.give_up(order, Why::DeadlinePassed, &step::deadline_error()).await
            }
            // Known now: that attempt did nothing. The next one is prepared like any other.
            Some(_) if left.is_zero() => {
                // It may have been asked for by a clock that was ahead.
                let again_at = ended.min(now).plus(self.retry_wait(order));
                let draft =
                    self.draft(order).reached().go(State::Open, Why::NothingDone).map_err(Trouble::Defect)?;
                self.write(draft.edit(|order| {
                    order.outcome_unknown = false;
                    order.retry_at = Some(again_at).filter(|at| *at > now);
                }))
                .await?;
                Ok(Next::NOW)
            }
            _ if idempotent && !self.deadline_passed(order) => self.repeat(order, &reach).await,
            Some(_) => {
                self.write(self.draft(order).reached()).await?;
                let mut next = self.look_again(None);
                next.after = next.after.map(|after| after.min(left));
                Ok(next)
            }
            // What cannot be searched is learned by repeating the create, when the order is deleted.
            None if idempotent => {
                let draft = self
                    .draft(order)
                    .go(State::FailedOnRequest, Why::DeadlinePassed)
                    .map_err(Trouble::Defect)?;
                self.write(draft.fault(&step::deadline_error(), None).reached()).await?;
                Ok(Next::EVENT)
            }
            None => self.stop_and_say(order).await,
        }
    }

    /// Asking again is safe (the same order twice gives one instance), but a refusal now says nothing of the attempt before.
    async fn repeat(&mut self, order: &Order, reach: &Reach<'_>) -> Result<Next, Trouble> {
        if let Err(failure) = reach.token().await {
            return self.away(order, &failure).await;
        }
        let order = self.commit_attempt(order, None).await?;
        self.ask(&order, reach, true).await
    }

    /// Until it is tried again; `None` = now.
    fn held_back(&self, order: &Order) -> Option<Duration> {
        let at = order.retry_at?;
        let now = self.now();
        // Written before the clock was set back: the wait is what it was then, and not until the clock is there again.
        let left = match order.updated_at > now {
            true => self.left_of(at.since(order.updated_at), order.updated_at),
            false => at.since(now),
        };
        Some(left).filter(|left| !left.is_zero())
    }

    fn retry_wait(&self, order: &Order) -> Duration {
        let settings = self.settings();
        let (first, most) = (Settings::ms(settings.retry_first_ms), Settings::ms(settings.retry_most_ms));
        pace::backoff(first, most, order.attempts)
    }

    async fn stop_and_say(&mut self, order: &Order) -> Result<Next, Trouble> {
        self.write(self.draft(order).reached().fault(&step::unknown_outcome(order), None)).await?;
        Ok(Next::EVENT)
    }
}

/// An instance of which no more is known than its id.
fn fresh_instance(created: &Created) -> Instance {
    Instance {
        id: created.id.clone(),
        status: Status::Creating,
        cloud_state: String::new(),
        addresses: Vec::new(),
        allocation: archipel_model::order::Allocation::default(),
        observed_at: None,
        driver_state: created.driver_state.clone(),
    }
}

/// The order holds an instance: its outcome is known.
pub(crate) fn hold(order: &mut Order, instance: Instance) {
    order.instance = Some(instance);
    order.outcome_unknown = false;
    order.retry_at = None;
    order.fault = None;
}

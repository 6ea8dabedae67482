//! Looks at an instance that the cloud made: ready, broken, gone, or what its user did to it with the cloud's own tools.
//!
//! A healthy instance that did not change costs no write. A look that fails says nothing about the instance: the condition is
//! set, the state stays. Gone is believed after two looks at least `settle` apart.

use archipel_model::order::{Instance, Order, State, Status};
use archipel_model::plugin::{InstanceView, Observed, Operation};
use archipel_model::{Error, ErrorKind, Timestamp};

use crate::poll::Inventory;
use crate::reach::{Failure, Reach};
use crate::settings::Settings;
use crate::step::{self, Next, Step, Trouble};
use crate::table::Why;
use crate::usage::INSTANCE_GONE;

impl Step<'_> {
    /// Every state between `spawning` and `closing`.
    pub(crate) async fn observe(&mut self, order: &Order) -> Result<Next, Trouble> {
        match self.look(order).await? {
            Ok(next) => {
                self.memory.inventory = Inventory::of(order);
                Ok(next)
            }
            Err(failure) => {
                if order.state == State::Spawning && self.deadline_passed(order) {
                    let draft = self
                        .draft(order)
                        .unreachable(failure.scope(), failure.reason())
                        .go(State::FailedAfterRequest, Why::DeadlinePassed)
                        .map_err(Trouble::Defect)?;
                    self.write(draft.fault(&step::deadline_error(), None)).await?;
                    return Ok(Next::NOW);
                }
                self.away(order, &failure).await
            }
        }
    }

    /// One look, written. The inner error: it could not be had.
    pub(crate) async fn look(&mut self, order: &Order) -> Result<Result<Next, Failure>, Trouble> {
        let Some(instance) = &order.instance else {
            let error = Error::internal("an order past selected has no instance; report this defect");
            return Err(Trouble::Defect(error));
        };
        let reach = match self.reach(order, Operation::Read).await {
            Ok(reach) => reach,
            Err(failure) => return Ok(Err(failure)),
        };
        let observed = match reach.get(&instance.id, &instance.driver_state).await {
            Ok(observed) => observed,
            Err(failure) => return Ok(Err(failure)),
        };
        self.memory.failures = 0;
        self.orders.tally.polls(&order.cloud, |polls| polls.looks += 1);
        match observed {
            Observed::Present(view) => {
                // A cloud that is slower than `settle` works an earlier attempt off after it was searched for in vain.
                let mut twins = Vec::new();
                if order.state == State::Spawning
                    && order.attempts > 1
                    && !moves(order, view.status).is_empty()
                {
                    match self.remove_twins(order, &reach, &view.id).await {
                        Ok(removed) => twins = removed,
                        Err(failure) => return Ok(Err(failure)),
                    }
                }
                self.present(order, &view, &twins).await.map(Ok)
            }
            Observed::Gone => self.missing(order, &reach).await.map(Ok),
        }
    }

    /// `twins` were removed before.
    async fn present(
        &mut self,
        order: &Order,
        view: &InstanceView,
        twins: &[String],
    ) -> Result<Next, Trouble> {
        let now = self.now();
        let mut draft = self.draft(order).reached().edit(|order| {
            order.missing_since = None;
            see(order, view, now);
        });
        draft = twins.iter().fold(draft, |draft, twin| draft.duplicate_removed(twin));
        for (to, why) in moves(order, view.status) {
            draft = draft.go(*to, *why).map_err(Trouble::Defect)?;
        }
        draft = match draft.order().state {
            State::FailedAfterRequest if order.state != State::FailedAfterRequest => {
                let words =
                    view.fault.as_deref().filter(|words| !words.is_empty()).unwrap_or(&view.cloud_state);
                draft.fault(
                    &Error::permanent(format!("the cloud says: {words}")).code("instance-failed"),
                    None,
                )
            }
            State::Spawning if self.deadline_passed(order) => draft
                .go(State::FailedAfterRequest, Why::DeadlinePassed)
                .map_err(Trouble::Defect)?
                .fault(&step::deadline_error(), None),
            state if state != order.state && state.is_settled() => draft.edit(|order| order.fault = None),
            _ => draft,
        };
        let written = self.write(draft).await?;
        if written.version != order.version {
            self.memory.quiet = 0;
        }
        Ok(self.paced(written.state, view))
    }

    /// When to look again at an instance that was seen so.
    pub(crate) fn paced(&mut self, state: State, view: &InstanceView) -> Next {
        let changes =
            matches!(view.status, Status::Creating | Status::Busy | Status::Unknown) || !state.is_settled();
        if changes && state != State::FailedAfterRequest {
            self.look_again(view.poll_after)
        } else {
            self.look_steadily()
        }
    }

    async fn missing(&mut self, order: &Order, reach: &Reach<'_>) -> Result<Next, Trouble> {
        let now = self.now();
        let settle = reach.describe().settle;
        let draft = self.draft(order).reached();
        let young = order.requested_at.is_some_and(|asked| !self.left_of(settle, asked).is_zero());
        if young {
            self.write(draft).await?;
            return Ok(self.look_again(None));
        }
        if order.state == State::FailedAfterRequest {
            self.write(draft).await?;
            return Ok(self.slowly());
        }
        match order.missing_since {
            Some(since) if self.left_of(settle, since).is_zero() => {
                let error =
                    Error::permanent("the instance is gone from the cloud; delete this order and order anew");
                let draft = draft.go(State::FailedAfterRequest, Why::Vanished).map_err(Trouble::Defect)?;
                self.write(draft.fault(&error.code(INSTANCE_GONE), None)).await?;
                Ok(self.slowly())
            }
            Some(since) => {
                self.write(draft).await?;
                Ok(Next::after(self.left_of(settle, since)))
            }
            None => {
                self.write(draft.edit(|order| order.missing_since = Some(now))).await?;
                Ok(Next::after(settle.max(Settings::ms(self.settings().poll_least_ms))))
            }
        }
    }
}

/// The transitions that a look calls for, in order. On the way from one power state to another, the one that it left says
/// nothing: the cloud may not have begun.
pub(crate) fn moves(order: &Order, status: Status) -> &'static [(State, Why)] {
    use State::{
        FailedAfterRequest, Fulfilled, Hibernated, Hibernating, Paused, Pausing, Resuming, Spawning, Stopped,
        Stopping,
    };
    match (order.state, status) {
        (FailedAfterRequest, Status::Failed) => &[],
        (_, Status::Failed) => &[(FailedAfterRequest, Why::Broke)],
        (_, Status::Creating | Status::Busy | Status::Unknown) => &[],

        (Spawning, Status::Ready) => &[(Fulfilled, Why::Ready)],
        (Spawning, Status::Paused) => &[(Fulfilled, Why::Ready), (Paused, Why::Found)],
        (Spawning, Status::Stopped) => &[(Fulfilled, Why::Ready), (Stopped, Why::Found)],
        (Spawning, Status::Hibernated) => &[(Fulfilled, Why::Ready), (Hibernated, Why::Found)],

        (FailedAfterRequest, Status::Ready) => &[(Fulfilled, Why::HealthyAgain)],
        (FailedAfterRequest, Status::Paused) => &[(Fulfilled, Why::HealthyAgain), (Paused, Why::Found)],
        (FailedAfterRequest, Status::Stopped) => &[(Fulfilled, Why::HealthyAgain), (Stopped, Why::Found)],
        (FailedAfterRequest, Status::Hibernated) => {
            &[(Fulfilled, Why::HealthyAgain), (Hibernated, Why::Found)]
        }

        (Pausing, Status::Paused) => &[(Paused, Why::Done)],
        (Stopping, Status::Stopped) => &[(Stopped, Why::Done)],
        (Hibernating, Status::Hibernated) => &[(Hibernated, Why::Done)],
        (Resuming, Status::Ready) => &[(Fulfilled, Why::Done)],
        (Resuming, status) if steady(status) == order.power.as_ref().map(|power| power.from) => &[],

        (Paused | Stopped | Hibernated, Status::Ready) => &[(Fulfilled, Why::Found)],
        (Paused, Status::Paused) | (Stopped, Status::Stopped) | (Hibernated, Status::Hibernated) => &[],
        (_, Status::Ready) => &[],
        (_, Status::Paused) => &[(Paused, Why::Found)],
        (_, Status::Stopped) => &[(Stopped, Why::Found)],
        (_, Status::Hibernated) => &[(Hibernated, Why::Found)],
    }
}

/// The state of an order whose machine is so; none for what is on its way, broken or not known.
pub(crate) fn steady(status: Status) -> Option<State> {
    match status {
        Status::Ready => Some(State::Fulfilled),
        Status::Paused => Some(State::Paused),
        Status::Stopped => Some(State::Stopped),
        Status::Hibernated => Some(State::Hibernated),
        Status::Creating | Status::Busy | Status::Failed | Status::Unknown => None,
    }
}

/// What a look saw, as it is kept. `observed_at` moves only with something else: a look that saw nothing new is no write.
fn see(order: &mut Order, view: &InstanceView, now: Timestamp) {
    if let Some(old) = &mut order.instance {
        let mut new = instance_of(view, &old.driver_state, now);
        new.id.clone_from(&old.id);
        let unchanged = Instance { observed_at: old.observed_at, ..new.clone() } == *old;
        if !unchanged || old.observed_at.is_none() {
            *old = new;
        }
    }
}

/// An instance as the cloud shows it.
pub(crate) fn instance_of(view: &InstanceView, driver_state: &str, now: Timestamp) -> Instance {
    Instance {
        id: view.id.clone(),
        status: view.status,
        cloud_state: view.cloud_state.clone(),
        addresses: view.addresses.clone(),
        allocation: view.allocation,
        observed_at: Some(now),
        driver_state: driver_state.to_owned(),
    }
}

/// Whether a look at an order in this state can say anything.
pub(crate) fn can_be_looked_at(order: &Order) -> bool {
    order.instance.is_some()
        && !matches!(
            order.state,
            State::Open | State::Waiting | State::Selected | State::Closing | State::Closed
        )
}

/// Whether this failure, on a client's request, is the cloud's absence.
pub(crate) fn is_away(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Transient | ErrorKind::Internal)
}

#[cfg(test)]
mod tests {
    use archipel_model::power::{Power, PowerAction};

    use super::*;
    use crate::table::TABLE;

    const STATUSES: [Status; 8] = [
        Status::Creating,
        Status::Ready,
        Status::Busy,
        Status::Paused,
        Status::Stopped,
        Status::Hibernated,
        Status::Failed,
        Status::Unknown,
    ];

    fn order(state: State, power: Option<Power>) -> Order {
        let order = serde_json::json!({
            "id": archipel_model::OrderId::generate(), "kind": "compute", "name": "", "spec": {}, "site": "s", "cloud": "c",
            "user": {"issuer": "i", "subject": "s", "name": "", "groups": [], "entitlements": [], "attributes": [],
                "assurance": "", "authenticated_at": Timestamp::default()},
            "state": state, "waiting_for": [], "depends_on": [], "labels": {}, "on_quota": "fail", "attempts": 1,
            "outcome_unknown": false, "created_at": Timestamp::default(), "updated_at": Timestamp::default(),
            "version": 1, "revision": 1,
        });
        Order { power, ..serde_json::from_value(order).unwrap() }
    }

    fn in_the_table(order: &Order) {
        for status in STATUSES {
            let mut at = order.state;
            for (to, why) in moves(order, status) {
                TABLE.find(Some(at), *to, *why).unwrap();
                at = *to;
            }
            if order.power.is_none() && can_be_looked_at(order) {
                assert!(steady(status).is_none_or(|steady| steady == at), "{status:?} in {}", order.state);
            }
        }
    }

    #[test]
    fn every_move_that_a_look_can_call_for_is_in_the_table_and_leads_to_what_was_seen() {
        for state in [
            State::Spawning,
            State::Fulfilled,
            State::Paused,
            State::Stopped,
            State::Hibernated,
            State::FailedAfterRequest,
        ] {
            in_the_table(&order(state, None));
        }
        for action in PowerAction::ALL {
            for from in action.allowed_in() {
                let power =
                    Power { action: *action, from: *from, since: Timestamp::default(), accepted_at: None };
                let under_way = order(action.through().unwrap_or(*from), Some(power));
                in_the_table(&under_way);
                let left: Vec<Status> =
                    STATUSES.into_iter().filter(|status| steady(*status) == Some(*from)).collect();
                assert!(moves(&under_way, left[0]).is_empty(), "the cloud may not have begun");
                let reached: Vec<State> = STATUSES
                    .into_iter()
                    .filter(|status| steady(*status) == Some(action.leads_to()))
                    .flat_map(|status| moves(&under_way, status).iter().map(|(to, _)| *to))
                    .collect();
                assert!(reached == [action.leads_to()] || action.through().is_none(), "{action} {reached:?}");
            }
        }
    }
}

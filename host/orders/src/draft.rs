//! A commit in preparation: the only place where a [`Change`] is built.
//!
//! It holds to three things: no state is entered but by a row of the [table](crate::table); the version (ETag) grows if and
//! only if something changed that a client sees; what changed for a client leaves at least one event, so that whoever waits
//! is woken.

use archipel_model::order::{Closing, Fault, Order, Scope, State, Unreachable};
use archipel_model::power::{Power, PowerAction};
use archipel_model::{Error, OrderId, Timestamp};
use serde_json::json;

use crate::store::{Change, Claim, NewEvent};
use crate::table::{TABLE, Why};

/// The reason of an order whose account the mapper no longer gives.
pub(crate) const ACCOUNT_LOST: &str = "account-lost";

enum Happened {
    Entered(State),
    Unreachable,
    Reachable,
    DuplicateRemoved(String),
    LeaseExpiring,
    Forgotten(String),
}

/// What is to be written about one order.
pub(crate) struct Draft {
    stored: Option<Order>,
    order: Order,
    happened: Vec<Happened>,
    now: Timestamp,
}

/// What a draft comes to.
pub(crate) enum Prepared {
    /// The order is as it should be.
    Nothing(Order),
    /// To be written.
    Commit(Change),
}

/// A new order's record and events.
pub(crate) struct Accepted {
    pub(crate) order: Order,
    pub(crate) events: Vec<NewEvent>,
}

impl Draft {
    /// Begins with the order as it is stored.
    pub(crate) fn of(stored: &Order, now: Timestamp) -> Self {
        Self { order: stored.clone(), stored: Some(stored.clone()), happened: Vec::new(), now }
    }

    /// A new order in `open`, version 1.
    pub(crate) fn accept(mut order: Order, now: Timestamp) -> Result<Accepted, Error> {
        let row = TABLE.find(None, State::Open, Why::Accepted)?;
        order.state = row.to;
        order.version = 1;
        order.revision = 1;
        order.created_at = now;
        order.updated_at = now;
        let draft = Self { order, stored: None, happened: vec![Happened::Entered(State::Open)], now };
        let events = draft.events();
        Ok(Accepted { order: draft.order, events })
    }

    /// The order as it would be written.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Enters a state. It ends a power action: what begins one says so after it.
    pub(crate) fn go(mut self, to: State, why: Why) -> Result<Self, Error> {
        let row = TABLE.find(Some(self.order.state), to, why)?;
        self.order.state = row.to;
        if to != State::Waiting {
            self.order.waiting_for.clear();
        }
        self.order.missing_since = None;
        self.order.power = None;
        match to {
            State::Closing => {
                self.order.closing = Some(Closing::default());
                self.order.fault = None;
                self.order.retry_at = None;
            }
            State::Closed => {
                self.order.closing = None;
                self.order.unreachable = None;
                self.order.fault = None;
            }
            _ => {}
        }
        self.happened.push(Happened::Entered(to));
        Ok(self)
    }

    /// A user asked for a power action.
    pub(crate) fn ask(self, action: PowerAction) -> Result<Self, Error> {
        let power = Power { action, from: self.order.state, since: self.now, accepted_at: None };
        let asked = match action.through() {
            Some(state) => self.go(state, Why::Asked)?,
            None => self,
        };
        Ok(asked.edit(|order| {
            order.power = Some(power);
            order.fault = None;
        }))
    }

    /// Changes anything but the state.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Order)) -> Self {
        let state = self.order.state;
        change(&mut self.order);
        self.order.state = state;
        self
    }

    /// Shows why it failed or stands still. The same fault again keeps its first time, so that repeating costs no write.
    pub(crate) fn fault(self, error: &Error, order: Option<OrderId>) -> Self {
        let at = self.now;
        self.edit(|record| {
            let fault = Fault {
                kind: error.kind,
                code: error.code.as_deref().map(str::to_owned),
                message: error.message.clone(),
                at,
                order,
            };
            match &record.fault {
                Some(old) if Fault { at: old.at, ..fault.clone() } == *old => {}
                _ => record.fault = Some(fault),
            }
        })
    }

    /// Sets the condition; one that is there already keeps its time and words, so that repeating costs no write.
    pub(crate) fn unreachable(mut self, scope: Scope, reason: &str) -> Self {
        let lost = reason == ACCOUNT_LOST;
        match &self.order.unreachable {
            Some(old) if old.scope == scope && (old.reason == ACCOUNT_LOST) == lost => {}
            old => {
                let since = old.as_ref().map_or(self.now, |old| old.since);
                self.order.unreachable = Some(Unreachable { since, reason: reason.to_owned(), scope });
                self.happened.push(Happened::Unreachable);
            }
        }
        self
    }

    /// Clears the condition.
    pub(crate) fn reached(mut self) -> Self {
        if self.order.unreachable.take().is_some() {
            self.happened.push(Happened::Reachable);
        }
        self
    }

    /// A second instance of this order was deleted.
    pub(crate) fn duplicate_removed(mut self, instance: &str) -> Self {
        self.happened.push(Happened::DuplicateRemoved(instance.to_owned()));
        self
    }

    /// Warns of the lease's end.
    pub(crate) fn lease_expiring(mut self) -> Self {
        self.order.lease_warned_at = Some(self.now);
        self.happened.push(Happened::LeaseExpiring);
        self
    }

    /// Given up, although the cloud may still hold something of it: the closed order keeps `outcome_unknown`.
    pub(crate) fn forgotten(mut self, reason: &str) -> Self {
        self.order.outcome_unknown = self.order.requested_at.is_some();
        self.happened.push(Happened::Forgotten(reason.to_owned()));
        self
    }

    /// The states that are entered.
    pub(crate) fn entered(&self) -> impl Iterator<Item = State> + '_ {
        self.happened.iter().filter_map(|what| match what {
            Happened::Entered(state) => Some(*state),
            _ => None,
        })
    }

    /// The duplicates that were removed.
    pub(crate) fn duplicates(&self) -> usize {
        self.happened.iter().filter(|what| matches!(what, Happened::DuplicateRemoved(_))).count()
    }

    /// The commit, if there is anything to be written.
    pub(crate) fn prepare(mut self, claim: Option<&Claim>, only_without_dependants: bool) -> Prepared {
        let Some(stored) = self.stored.take() else { return Prepared::Nothing(self.order) };
        if self.order == stored && self.happened.is_empty() {
            return Prepared::Nothing(stored);
        }
        if as_seen(&self.order) != as_seen(&stored) {
            self.order.version = stored.version.saturating_add(1);
            self.order.updated_at = self.now;
        }
        self.order.revision = stored.revision.saturating_add(1);
        let mut events = self.events();
        if events.is_empty() && self.order.version != stored.version {
            events.push(event(&self.order, "updated", self.order.state));
        }
        let claim = claim.map(|claim| (claim.queue.clone(), claim.epoch));
        Prepared::Commit(Change { order: self.order, claim, events, only_without_dependants })
    }

    fn events(&self) -> Vec<NewEvent> {
        let state = self.order.state;
        self.happened
            .iter()
            .map(|what| match what {
                Happened::Entered(entered) => event(&self.order, entered.as_str(), *entered),
                Happened::Unreachable => event(&self.order, "unreachable", state),
                Happened::Reachable => event(&self.order, "reachable", state),
                Happened::DuplicateRemoved(instance) => {
                    with(event(&self.order, "duplicate-removed", state), "instance", json!(instance))
                }
                Happened::LeaseExpiring => {
                    let end = self.order.lease.map(|lease| lease.expires_at);
                    with(event(&self.order, "lease-expiring", state), "expires_at", json!(end))
                }
                Happened::Forgotten(reason) => {
                    let left = json!({
                        "reason": reason,
                        "tag": self.order.tag(),
                        "account": self.order.local_account,
                        "instance": self.order.instance.as_ref().map(|instance| &instance.id),
                    });
                    with(event(&self.order, "forgotten", state), "forgotten", left)
                }
            })
            .collect()
    }
}

/// The event `org.archipel.order.WORD.v1`.
fn event(order: &Order, word: &str, state: State) -> NewEvent {
    NewEvent {
        kind: format!("org.archipel.order.{word}.v1"),
        data: json!({
            "state": state,
            "version": order.version,
            "kind": order.kind,
            "cloud": order.cloud,
            "site": order.site,
            "fault": order.fault,
            "unreachable": order.unreachable,
        }),
    }
}

fn with(mut event: NewEvent, key: &str, value: serde_json::Value) -> NewEvent {
    if let Some(data) = event.data.as_object_mut() {
        data.insert(key.to_owned(), value);
    }
    event
}

/// The order with everything blanked that no client sees.
fn as_seen(order: &Order) -> Order {
    let mut seen = order.clone();
    seen.local_account = None;
    seen.requested_at = None;
    seen.attempts = 0;
    seen.outcome_unknown = false;
    seen.retry_at = None;
    seen.missing_since = None;
    seen.closing = None;
    seen.lease_warned_at = None;
    seen.updated_at = Timestamp::default();
    seen.version = 0;
    seen.revision = 0;
    if let Some(power) = &mut seen.power {
        power.accepted_at = None;
    }
    if let Some(instance) = &mut seen.instance {
        instance.driver_state.clear();
        instance.observed_at = None;
    }
    seen
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_change_is_built_in_one_place_only() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let literal = concat!("Change", " {");
            let builds = text
                .lines()
                .any(|line| line.contains(literal) && !line.contains("struct") && !line.contains("impl"));
            assert_eq!(builds, path.ends_with("draft.rs"), "{}", path.display());
        }
    }
}

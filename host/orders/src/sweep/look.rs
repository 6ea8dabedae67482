//! One sweep of one cloud: which accounts there are, what they hold, what of that no order has; then, `settle` later, each of
//! these once more.

use std::collections::BTreeSet;
use std::time::Duration;

use archipel_model::order::{Kind, Order, State};
use archipel_model::plugin::{Observed, Operation, OrderRef, Tagged};
use archipel_model::site::UnknownInstances;
use archipel_model::{CloudName, Error, OrderId, Timestamp};

use super::report::{CloudSweep, Fate, Gap, PossibleOrphan, UnknownInstance, Why};
use super::words;
use crate::engine::Orders;
use crate::poll::{PAGES, endless};
use crate::reach::{Access, Failure};
use crate::store::{OrderQuery, Visible};

/// Between two pages of orders: a sweep is in no hurry, and the store has others to serve.
const BREATH: Duration = Duration::from_millis(5);

/// Something that was seen once.
struct Suspect<'a> {
    access: Access<'a>,
    kind: Kind,
    account: String,
    order: OrderId,
    tagged: Tagged,
}

/// The first look at everything.
struct Round<'a, 'r> {
    orders: &'a Orders,
    began: Timestamp,
    report: &'r mut CloudSweep,
    suspects: Vec<Suspect<'a>>,
    /// Forgotten orders of which something was listed.
    shown: BTreeSet<OrderId>,
}

impl Orders {
    /// Fills the report; what cannot be looked at is a gap in it.
    pub(super) async fn look_over(&self, report: &mut CloudSweep) {
        let began = self.clock.now();
        let generation = self.site.current();
        let Some(cloud) = generation.clouds.get(&report.cloud).cloned() else {
            report.gaps.push(Gap::of("the cloud is not configured at this site any more"));
            return;
        };
        report.policy = cloud.sweep;
        let (accounts, forgotten) = match self.accounts(&report.cloud).await {
            Ok(found) => found,
            Err(error) => {
                report.gaps.push(Gap::of(format!("the store cannot be read: {error}")));
                return;
            }
        };
        report.accounts = accounts.len();
        let mut round = Round { orders: self, began, report, suspects: Vec::new(), shown: BTreeSet::new() };
        let mut listed: BTreeSet<(&str, Kind)> = BTreeSet::new();
        for account in &accounts {
            for kind in cloud.drivers.keys().copied() {
                let access = Access::new(self, &generation, &cloud.name, kind, account, Operation::List);
                let all = match access {
                    Ok(access) => round.list(access, account, kind).await,
                    Err(failure) => Err(failure),
                };
                match all {
                    Ok(()) => drop(listed.insert((account.as_str(), kind))),
                    Err(failure) => round.report.gaps.push(Gap {
                        account: Some(account.clone()),
                        kind: Some(kind),
                        reason: words(failure.error()),
                    }),
                }
            }
        }
        let Round { report, suspects, shown, .. } = round;
        report.possible_orphans = forgotten
            .iter()
            .map(|order| {
                let place = order.local_account.as_deref().map(|account| (account, order.kind));
                let is_listed = place.is_some_and(|place| listed.contains(&place));
                let is_shown = shown.contains(&order.id);
                orphan(order, Some(is_shown).filter(|_| is_shown || is_listed))
            })
            .collect();
        let settle = suspects.iter().map(|suspect| suspect.access.describe().settle).max();
        if let Some(settle) = settle {
            tokio::time::sleep(settle).await;
        }
        for suspect in suspects {
            match self.look_again(&suspect, began, report.policy.unknown).await {
                Ok(Some(unknown)) => report.unknown.push(unknown),
                Ok(None) => {}
                Err(error) => report.gaps.push(Gap {
                    account: Some(suspect.account),
                    kind: Some(suspect.kind),
                    reason: format!(
                        "{} could not be looked at again: {}",
                        suspect.tagged.instance.id,
                        words(&error)
                    ),
                }),
            }
        }
    }

    /// The accounts that orders of this cloud name, and those of its orders that were forgotten.
    async fn accounts(&self, cloud: &CloudName) -> Result<(BTreeSet<String>, Vec<Order>), Error> {
        let mut accounts = BTreeSet::new();
        let mut forgotten = Vec::new();
        for states in [Vec::new(), vec![State::Closed]] {
            let mut query = OrderQuery {
                states,
                cloud: Some(cloud.clone()),
                ..OrderQuery::of(Visible::Any, self.config.settings.page)
            };
            loop {
                let page = self.store.list(&query).await?;
                for order in page.items {
                    if let Some(account) =
                        order.local_account.as_ref().filter(|known| !accounts.contains(*known))
                    {
                        accounts.insert(account.clone());
                    }
                    if is_forgotten(&order) && forgotten.len() < self.config.settings.sweep_most {
                        forgotten.push(order);
                    }
                }
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
                tokio::time::sleep(BREATH).await;
            }
        }
        Ok((accounts, forgotten))
    }

    /// The second look, and what is done then. `None`: it is an order's after all, or gone.
    async fn look_again(
        &self,
        suspect: &Suspect<'_>,
        began: Timestamp,
        policy: UnknownInstances,
    ) -> Result<Option<UnknownInstance>, Error> {
        let Suspect { access, kind, account, order, tagged } = suspect;
        let known = self.store.get(*order).await?;
        let Some(why) = self.judge(known.as_ref(), access, *kind, tagged, began) else { return Ok(None) };
        let reach = access.about(OrderRef {
            id: *order,
            tag: tagged.tag.clone(),
            kind: *kind,
            spec: known.map_or_else(|| serde_json::json!({}), |known| known.spec),
            dependencies: Vec::new(),
        });
        let seen = reach.get(&tagged.instance.id, &tagged.driver_state).await;
        let view = match seen.map_err(|failure| failure.error().clone())? {
            Observed::Gone => return Ok(None),
            Observed::Present(view) => view,
        };
        let fate = match policy {
            UnknownInstances::Report => Fate::Reported,
            UnknownInstances::Delete if !why.is_nobodys() => Fate::Reported,
            UnknownInstances::Delete if !self.store.is_confirmed().await? => Fate::Unconfirmed,
            UnknownInstances::Delete => {
                let deleted = reach.delete(&view.id, &tagged.driver_state).await;
                let error = deleted.err().map(|failure| failure.error().message.clone());
                tracing::warn!(cloud = %access.cloud(), %kind, account, instance = view.id, tag = tagged.tag, why = why.as_str(), error,
                    "deleting an instance that no order has");
                error.map_or(Fate::Deleted, Fate::Refused)
            }
        };
        Ok(Some(UnknownInstance {
            kind: *kind,
            account: account.clone(),
            instance: view.id,
            order: *order,
            why,
            status: view.status,
            cloud_state: view.cloud_state,
            created_at: tagged.created_at,
            fate,
        }))
    }
}

impl Orders {
    /// Why this instance is no order's, if it is none's. What changed less than `settle` before the sweep began may have been
    /// listed as it was then.
    fn judge(
        &self,
        order: Option<&Order>,
        access: &Access<'_>,
        kind: Kind,
        tagged: &Tagged,
        began: Timestamp,
    ) -> Option<Why> {
        let Some(order) = order else { return Some(Why::NoOrder) };
        if order.cloud != *access.cloud() || order.kind != kind {
            return Some(Why::Misplaced);
        }
        let settle = access.describe().settle;
        let is_settled =
            order.updated_at <= began.minus(settle) && self.steady.waited(order.updated_at) >= settle;
        match order.state {
            State::Open | State::Waiting | State::Selected | State::Spawning | State::Closing => None,
            State::Closed => Some(Why::ClosedOrder).filter(|_| is_settled),
            State::FailedOnRequest => Some(Why::FailedOrder).filter(|_| is_settled && !order.outcome_unknown),
            _ => match &order.instance {
                Some(held) if held.id == tagged.instance.id => None,
                _ => Some(Why::Duplicate),
            },
        }
    }
}

impl<'a> Round<'a, '_> {
    /// Lists what one account holds of one kind.
    async fn list(&mut self, access: Access<'a>, account: &str, kind: Kind) -> Result<(), Failure> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let page = access.list(cursor.as_deref()).await?;
            for tagged in page.items {
                self.consider(&access, account, kind, tagged).await?;
            }
            match page.next {
                None => return Ok(()),
                next if next == cursor => return Err(Failure::Cloud(endless())),
                next => cursor = next,
            }
        }
        Err(Failure::Cloud(endless()))
    }

    async fn consider(
        &mut self,
        access: &Access<'a>,
        account: &str,
        kind: Kind,
        tagged: Tagged,
    ) -> Result<(), Failure> {
        let Some(order) = Order::of_tag(&tagged.tag, &self.orders.config.site) else { return Ok(()) };
        self.report.looked_at = self.report.looked_at.saturating_add(1);
        let known = self.orders.store.get(order).await.map_err(Failure::Cloud)?;
        if known.as_ref().is_some_and(is_forgotten) {
            self.shown.insert(order);
        }
        let settle = access.describe().settle;
        let is_young = tagged.created_at.is_some_and(|made| self.orders.steady.waited(made) < settle);
        let why = self.orders.judge(known.as_ref(), access, kind, &tagged, self.began);
        if is_young || why.is_none() {
            return Ok(());
        }
        if self.suspects.len() >= self.orders.config.settings.sweep_most {
            self.report.more = self.report.more.saturating_add(1);
        } else {
            let (access, account) = (access.clone(), account.to_owned());
            self.suspects.push(Suspect { access, kind, account, order, tagged });
        }
        Ok(())
    }
}

/// Closed by an administrator, who could not know what the cloud still holds of it.
fn is_forgotten(order: &Order) -> bool {
    order.state == State::Closed && order.outcome_unknown
}

fn orphan(order: &Order, is_shown: Option<bool>) -> PossibleOrphan {
    PossibleOrphan {
        order: order.id,
        kind: order.kind,
        account: order.local_account.clone(),
        tag: order.tag(),
        instance: order.instance.as_ref().map(|instance| instance.id.clone()),
        closed_at: order.updated_at,
        is_shown,
    }
}

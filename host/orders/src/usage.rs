//! What orders used: what is metered, as what, and what is asked of whoever keeps it. `store` adds it up in the very
//! commit that changes an order, so that it is exact whatever is killed when, and does not rest on events.
//!
//! | the order is | metered as |
//! |---|---|
//! | fulfilled | `running` |
//! | paused, stopped, hibernated | `paused`, `stopped`, `hibernated` |
//! | pausing, stopping, hibernating, resuming | what it was before: the cloud has not done it yet |
//! | failed after it was fulfilled | `failed`: the cloud may still hold what it was given; nothing once it is confirmed gone |
//! | anything else, closing and closed too | nothing |
//!
//! The condition `unreachable` changes nothing: what cannot be seen still runs. Amounts are what the cloud granted
//! (`allocation`), or what was asked for while it does not say; they count from the commit in which they were learned, so
//! a resize that a poll finds is counted from that poll on.
//!
//! Times are those of the commits. A clock that is turned back makes an interval of no length, never a negative one.

use archipel_model::order::{Kind, Order, State};
use archipel_model::plugin::Usage;
use archipel_model::{CloudName, Error, OrderId, Owner, SiteId, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::store::Visible;

/// The code of the fault of an order whose instance is confirmed gone.
pub(crate) const INSTANCE_GONE: &str = "instance-gone";

/// What an order is metered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Usable.
    Running,
    /// Frozen in memory.
    Paused,
    /// Shut down.
    Stopped,
    /// Saved to disk.
    Hibernated,
    /// Broken, and perhaps still there.
    Failed,
}

impl Class {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Stopped, Self::Hibernated, Self::Failed];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Hibernated => "hibernated",
            Self::Failed => "failed",
        }
    }

    /// What an order is metered as now, when it was metered as `before`.
    pub fn of(order: &Order, before: Option<Self>) -> Option<Self> {
        match order.state {
            State::Fulfilled => Some(Self::Running),
            State::Paused => Some(Self::Paused),
            State::Stopped => Some(Self::Stopped),
            State::Hibernated => Some(Self::Hibernated),
            State::Pausing | State::Stopping | State::Hibernating | State::Resuming => before,
            State::FailedAfterRequest => before.filter(|_| !is_gone(order)).map(|_| Self::Failed),
            State::Open
            | State::Waiting
            | State::Selected
            | State::Spawning
            | State::FailedOnRequest
            | State::Closing
            | State::Closed => None,
        }
    }
}

/// Whether nothing is there any more of an order's instance: it is closed, or confirmed gone from its cloud.
pub fn is_gone(order: &Order) -> bool {
    let vanished = || order.fault.as_ref().is_some_and(|fault| fault.code.as_deref() == Some(INSTANCE_GONE));
    order.state == State::Closed || (order.state == State::FailedAfterRequest && vanished())
}

/// What is metered together: everything but the amounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Whose.
    pub owner: Owner,
    /// For which group.
    pub group: Option<String>,
    /// Of which cloud.
    pub cloud: CloudName,
    /// The providing site.
    pub site: SiteId,
    /// The site that asked: the providing one for its own users.
    pub requesting_site: SiteId,
    /// What kind of thing.
    pub kind: Kind,
    /// As what.
    pub class: Class,
}

impl Line {
    /// The line that an order counts on.
    pub fn of(order: &Order, class: Class) -> Self {
        Self {
            owner: order.owner(),
            group: order.group.clone(),
            cloud: order.cloud.clone(),
            site: order.site.clone(),
            requesting_site: requesting_site(order),
            kind: order.kind,
            class,
        }
    }
}

/// The site that asked for an order.
pub fn requesting_site(order: &Order) -> SiteId {
    order.origin.as_ref().map_or_else(|| order.site.clone(), |origin| origin.site.clone())
}

/// Amounts times milliseconds, up to an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Spent {
    /// Instances.
    pub instances: i128,
    /// Virtual CPUs.
    pub vcpu: i128,
    /// Memory in MiB.
    pub ram_mib: i128,
    /// Storage in GiB.
    pub disk_gib: i128,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            instances: self.instances.saturating_add(other.instances),
            vcpu: self.vcpu.saturating_add(other.vcpu),
            ram_mib: self.ram_mib.saturating_add(other.ram_mib),
            disk_gib: self.disk_gib.saturating_add(other.disk_gib),
        }
    }

    /// Whole seconds of each since `earlier`. Each end is rounded down by itself, so that neighbouring ranges of time add
    /// up to the range of both, and nothing drifts.
    pub fn since(self, earlier: Self) -> Seconds {
        let seconds = |now: i128, then: i128| {
            u64::try_from(now.div_euclid(1000).saturating_sub(then.div_euclid(1000))).unwrap_or(0)
        };
        Seconds {
            instance_s: seconds(self.instances, earlier.instances),
            vcpu_s: seconds(self.vcpu, earlier.vcpu),
            ram_mib_s: seconds(self.ram_mib, earlier.ram_mib),
            disk_gib_s: seconds(self.disk_gib, earlier.disk_gib),
        }
    }
}

/// Amounts times seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Instances times seconds.
    pub instance_s: u64,
    /// Virtual CPUs times seconds.
    pub vcpu_s: u64,
    /// MiB of memory times seconds.
    pub ram_mib_s: u64,
    /// GiB of storage times seconds.
    pub disk_gib_s: u64,
}

/// Which usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Whose.
    pub visible: Visible,
    /// Of one group.
    pub group: Option<String>,
    /// Of one cloud.
    pub cloud: Option<CloudName>,
    /// Of one kind.
    pub kind: Option<Kind>,
    /// From this instant on.
    pub from: Timestamp,
    /// Until before this instant.
    pub to: Timestamp,
}

impl UsageQuery {
    /// Whether something of this owner, group, cloud and kind is asked for.
    pub fn covers(&self, owner: &Owner, group: Option<&str>, cloud: &CloudName, kind: Kind) -> bool {
        self.visible.covers(owner, group)
            && self.group.as_deref().is_none_or(|wanted| group == Some(wanted))
            && self.cloud.as_ref().is_none_or(|wanted| wanted == cloud)
            && self.kind.is_none_or(|wanted| wanted == kind)
    }
}

/// What one line used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineUsage {
    /// The line.
    pub line: Line,
    /// Up to the beginning of the range.
    pub before: Spent,
    /// Up to its end.
    pub after: Spent,
}

/// What is kept of a metered order for longer than the order itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The order.
    pub order: OrderId,
    /// What kind of thing.
    pub kind: Kind,
    /// The order's name.
    pub name: String,
    /// Whose.
    pub owner: Owner,
    /// The user's name, for people.
    pub user: String,
    /// For which group.
    pub group: Option<String>,
    /// Of which cloud.
    pub cloud: CloudName,
    /// The providing site.
    pub site: SiteId,
    /// The site that asked.
    pub requesting_site: SiteId,
    /// What the cloud called it.
    pub instance: Option<String>,
    /// When it was first metered.
    pub started_at: Timestamp,
    /// When metering ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
}

/// What one order used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderUsage {
    /// Which order.
    pub account: Account,
    /// By class, only those that it ever was in: up to the beginning of the range, and up to its end.
    pub classes: Vec<(Class, Spent, Spent)>,
    /// What it was metered as last before the end of the range, and with which amounts; `None` where metering had ended.
    pub last: Option<(Class, Usage)>,
}

/// One page of orders' usage.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrderUsagePage {
    /// By order.
    pub items: Vec<OrderUsage>,
    /// The next page starts after this order; `None` at the end. A page may be short of its limit and have a next one.
    pub next: Option<OrderId>,
}

/// What was used, added up as it happens.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// What each line used between two instants. Does not grow with the number of orders that there were.
    async fn lines(&self, query: &UsageQuery) -> Result<Vec<LineUsage>, Error>;

    /// What each order used, of those that were metered between two instants.
    async fn orders(
        &self,
        query: &UsageQuery,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderUsagePage, Error>;

    /// Forgets the accounts of orders whose metering ended before; lines stay. At most `limit`; says how many.
    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ranges_add_up_to_the_range_of_both() {
        let at = |ms| Spent { vcpu: ms, ..Spent::default() };
        let (a, b, c) = (at(1_500), at(2_700), at(4_100));
        assert_eq!(b.since(a).vcpu_s + c.since(b).vcpu_s, c.since(a).vcpu_s);
        assert_eq!(a.since(b).vcpu_s, 0, "never negative");
    }

    #[test]
    fn every_class_has_the_word_that_it_is_written_with() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }
}

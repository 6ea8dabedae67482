//! The durable order: what a user asked for, and what became of it. `orders.md` is its contract.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::power::Power;
use crate::{CloudName, Error, ErrorKind, FederationUser, OrderId, Owner, SiteId, Timestamp};

/// What kind of thing is ordered. More will come: never match without a wildcard outside this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A virtual machine.
    Compute,
    /// Block storage.
    Volume,
    /// A network.
    Network,
    /// A volume on a compute.
    Attachment,
}

impl Kind {
    /// Every kind there is today.
    pub const ALL: [Self; 4] = [Self::Compute, Self::Volume, Self::Network, Self::Attachment];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Attachment => "attachment",
        }
    }

    /// The collection in the REST API.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Compute => "computes",
            Self::Volume => "volumes",
            Self::Network => "networks",
            Self::Attachment => "attachments",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            Error::invalid(format!("unknown kind {text:?}; write compute, volume, network or attachment"))
        })
    }
}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Where an order stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum State {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl State {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

states! {
    /// Accepted.
    Open = "open",
    /// For a dependency, quota or the end of maintenance.
    Waiting = "waiting",
    /// The cloud is being asked, or may have been.
    Selected = "selected",
    /// The cloud is making it.
    Spawning = "spawning",
    /// Ready.
    Fulfilled = "fulfilled",
    /// Being paused.
    Pausing = "pausing",
    /// Paused.
    Paused = "paused",
    /// Being stopped.
    Stopping = "stopping",
    /// Stopped.
    Stopped = "stopped",
    /// Being hibernated.
    Hibernating = "hibernating",
    /// Hibernated.
    Hibernated = "hibernated",
    /// Being woken.
    Resuming = "resuming",
    /// Never came to be.
    FailedOnRequest = "failed-on-request",
    /// Came to be, and broke or vanished.
    FailedAfterRequest = "failed-after-request",
    /// Being deleted.
    Closing = "closing",
    /// Gone.
    Closed = "closed",
}

impl State {
    /// Nothing will change by itself: fulfilled, failed, closed or a steady power state.
    pub const fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Fulfilled
                | Self::Paused
                | Self::Stopped
                | Self::Hibernated
                | Self::FailedOnRequest
                | Self::FailedAfterRequest
                | Self::Closed
        )
    }

    /// Good enough for an order that depends on it.
    pub const fn satisfies_dependants(self) -> bool {
        matches!(self, Self::Fulfilled | Self::Stopped | Self::Paused)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
            Error::invalid(format!("unknown state {text:?}; write one of {}", known.join(", ")))
        })
    }
}

/// Why an order failed or stands still, in the plugin's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of the error behind it.
    pub kind: ErrorKind,
    /// A finer word, e.g. `dependency-failed`, `deadline-passed`, `unknown-outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For a person.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// The order that caused it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
}

/// How far an [`Unreachable`] reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The cloud does not answer.
    Cloud,
    /// The site does not answer.
    Site,
    /// The account cannot be used (`account-lost`).
    Account,
    /// Only the user can go on (a session is needed).
    NeedsUser,
}

/// A condition, not a state: nothing is known of the instance now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// How far.
    pub scope: Scope,
}

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case")]
pub enum WaitingFor {
    /// Another order.
    Order {
        /// Which.
        order: OrderId,
    },
    /// Quota of the cloud.
    Quota,
    /// The end of the cloud's maintenance.
    Maintenance,
}

/// What a quota refusal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnQuota {
    /// The order fails.
    #[default]
    Fail,
    /// The order waits.
    Wait,
}

/// The common status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// On its way.
    Creating,
    /// Usable.
    Ready,
    /// Usable soon.
    Busy,
    /// Frozen in memory.
    Paused,
    /// Shut down.
    Stopped,
    /// Saved to disk.
    Hibernated,
    /// Broken.
    Failed,
    /// The driver does not know the cloud's word.
    Unknown,
}

/// What was really granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allocation {
    /// Virtual CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_mib: Option<u64>,
    /// Storage in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
}

/// What the cloud made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What the cloud calls it; information, never a handle.
    pub id: String,
    /// In our words.
    pub status: Status,
    /// In the cloud's own word.
    pub cloud_state: String,
    /// IP addresses.
    pub addresses: Vec<String>,
    /// What was granted.
    pub allocation: Allocation,
    /// When it was last seen to be so; `None` until the first look.
    pub observed_at: Option<Timestamp>,
    /// The driver's own note, at most 16 KiB; never shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver_state: String,
}

/// An order that this one rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependsOn {
    /// Which.
    pub order: OrderId,
    /// Its kind.
    pub kind: Kind,
    /// Its cloud.
    pub cloud: CloudName,
    /// Its site.
    pub site: SiteId,
}

/// An order at another site: the requesting side's (`origin`) or the providing side's (`remote`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteOrder {
    /// The site.
    pub site: SiteId,
    /// The order there.
    pub order: OrderId,
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Deleted after this instant (and a grace).
    pub expires_at: Timestamp,
}

/// How far the deletion has come; exists in `closing` alone.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Closing {
    /// The cloud accepted a delete, or a find found nothing.
    pub accepted_at: Option<Timestamp>,
    /// The first of the two not-founds that close an order.
    pub not_found_at: Option<Timestamp>,
}

/// The whole record. Times of polling are not in it: polling an order must cost no write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The user's handle.
    pub id: OrderId,
    /// What kind.
    pub kind: Kind,
    /// For people; empty when none was given.
    pub name: String,
    /// What was asked, whole, with references resolved to order ids.
    pub spec: serde_json::Value,
    /// The user as last verified.
    pub user: FederationUser,
    /// The one group it acts for.
    pub group: Option<String>,
    /// Where it is provided.
    pub site: SiteId,
    /// By which cloud.
    pub cloud: CloudName,
    /// The mapper's name of the account, written with `selected`.
    pub local_account: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it failed or stands still.
    pub fault: Option<Fault>,
    /// The condition.
    pub unreachable: Option<Unreachable>,
    /// What it waits for.
    pub waiting_for: Vec<WaitingFor>,
    /// What the cloud made.
    pub instance: Option<Instance>,
    /// What it rests on.
    pub depends_on: Vec<DependsOn>,
    /// The requesting side's order.
    pub origin: Option<RemoteOrder>,
    /// The providing side's order.
    pub remote: Option<RemoteOrder>,
    /// Of the user.
    pub labels: BTreeMap<String, String>,
    /// Must be fulfilled by then.
    pub deadline: Option<Timestamp>,
    /// Is deleted after.
    pub lease: Option<Lease>,
    /// Warnings of the lease's end that were due by then were given, or came before the lease.
    #[serde(default)]
    pub lease_warned_at: Option<Timestamp>,
    /// What a quota refusal does.
    pub on_quota: OnQuota,
    /// When the cloud was last asked to create it; `None` = never, so nothing can be there.
    pub requested_at: Option<Timestamp>,
    /// How often the cloud was asked to create it.
    pub attempts: u32,
    /// Of the attempt whose end is not known: the cloud may hold an instance that we have no id of.
    pub outcome_unknown: bool,
    /// Not before (a durable back-off).
    pub retry_at: Option<Timestamp>,
    /// A confirmed disappearance needs two looks; this was the first.
    pub missing_since: Option<Timestamp>,
    /// How far the deletion has come.
    pub closing: Option<Closing>,
    /// The power action under way; there in pausing, stopping, hibernating and resuming, and in fulfilled during a reboot.
    #[serde(default)]
    pub power: Option<Power>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a client-visible thing last changed.
    pub updated_at: Timestamp,
    /// The ETag: grows only when something that a client sees changes.
    pub version: u64,
    /// Grows with every write: the precondition of the next one.
    pub revision: u64,
}

impl Order {
    /// A new order: `open`, with no more than every order has. What else is asked for is added by `Order { .., ..Order::open(..) }`.
    /// Version and revision are 0 until it is accepted.
    pub fn open(
        id: OrderId,
        kind: Kind,
        spec: serde_json::Value,
        user: FederationUser,
        site: SiteId,
        cloud: CloudName,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            kind,
            name: String::new(),
            spec,
            user,
            group: None,
            site,
            cloud,
            local_account: None,
            state: State::Open,
            fault: None,
            unreachable: None,
            waiting_for: Vec::new(),
            instance: None,
            depends_on: Vec::new(),
            origin: None,
            remote: None,
            labels: BTreeMap::new(),
            deadline: None,
            lease: None,
            lease_warned_at: None,
            on_quota: OnQuota::Fail,
            requested_at: None,
            attempts: 0,
            outcome_unknown: false,
            retry_at: None,
            missing_since: None,
            closing: None,
            power: None,
            created_at: now,
            updated_at: now,
            version: 0,
            revision: 0,
        }
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.user.owner()
    }

    /// Nothing will change by itself: the state is settled, and no reboot is under way.
    pub fn is_settled(&self) -> bool {
        self.state.is_settled() && self.power.is_none()
    }

    /// What every instance of it carries in the cloud.
    pub fn tag(&self) -> String {
        format!("archipel:{}:{}", self.site, self.id)
    }

    /// The order that a tag names, where it is one of this site's.
    pub fn of_tag(tag: &str, site: &SiteId) -> Option<OrderId> {
        tag.strip_prefix("archipel:")?.strip_prefix(site.as_str())?.strip_prefix(':')?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_an_order_of_its_own_site_alone() {
        let (id, here): (OrderId, SiteId) = (OrderId::generate(), "a.example.org".parse().unwrap());
        assert_eq!(Order::of_tag(&format!("archipel:a.example.org:{id}"), &here), Some(id));
        for other in [
            format!("archipel:b.example.org:{id}"),
            format!("archipel:a.example.org.uk:{id}"),
            format!("archipel:a.example.org:{id}0"),
            format!("a.example.org:{id}"),
            "archipel:a.example.org:".to_owned(),
        ] {
            assert_eq!(Order::of_tag(&other, &here), None, "{other}");
        }
    }

    #[test]
    fn every_state_reads_back_its_own_word() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), *state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!("deactivated".parse::<State>().is_err());
    }
}

//! What a sweep says.

use archipel_model::order::{Kind, Status};
use archipel_model::site::SweepPolicy;
use archipel_model::{CloudName, OrderId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

/// The last sweeps of a site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepReport {
    /// The store's present life.
    pub incarnation: Uuid,
    /// Whether what this store does not know may be deleted: not where it was restored, until somebody confirms it.
    pub confirmed: bool,
    /// By name.
    pub clouds: Vec<CloudSweep>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepState {
    /// There was none since the daemon started.
    Never,
    /// It begins soon.
    Asked,
    /// It is under way; the rest of the report is being filled.
    Running,
    /// All was looked at.
    Done,
    /// Something could not be looked at; `gaps` says what.
    Incomplete,
}

impl SweepState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Asked => "asked",
            Self::Running => "running",
            Self::Done => "done",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The last sweep of one cloud.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloudSweep {
    /// The cloud.
    pub cloud: CloudName,
    /// As the site file has it now.
    pub policy: SweepPolicy,
    /// How far it is.
    pub state: SweepState,
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Accounts that orders of the store name.
    pub accounts: usize,
    /// Instances with this site's tag that were listed.
    pub looked_at: u64,
    /// Those that no order has.
    pub unknown: Vec<UnknownInstance>,
    /// More of them than are listed: those were only counted, and seen once.
    pub more: u64,
    /// Orders that an administrator forgot.
    pub possible_orphans: Vec<PossibleOrphan>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
}

impl CloudSweep {
    pub(crate) fn never(cloud: CloudName) -> Self {
        Self {
            cloud,
            policy: SweepPolicy::default(),
            state: SweepState::Never,
            began_at: None,
            ended_at: None,
            accounts: 0,
            looked_at: 0,
            unknown: Vec::new(),
            more: 0,
            possible_orphans: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// How many were deleted.
    pub fn deleted(&self) -> usize {
        self.unknown.iter().filter(|one| one.fate == Fate::Deleted).count()
    }
}

/// Why an instance is in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// This store has no such order.
    NoOrder,
    /// Its order is closed.
    ClosedOrder,
    /// Its order holds another instance.
    Duplicate,
    /// Its order failed before it held an instance; deleting the order deletes it.
    FailedOrder,
    /// Its order is of another cloud or kind.
    Misplaced,
}

impl Why {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoOrder => "no-order",
            Self::ClosedOrder => "closed-order",
            Self::Duplicate => "duplicate",
            Self::FailedOrder => "failed-order",
            Self::Misplaced => "misplaced",
        }
    }

    /// Whether nobody else would ever delete it.
    pub(crate) const fn is_nobodys(self) -> bool {
        matches!(self, Self::NoOrder | Self::ClosedOrder)
    }
}

/// What was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Nothing: the cloud's policy is to report, or it is an order's own business.
    Reported,
    /// Nothing: the store was restored, and nobody has confirmed it.
    Unconfirmed,
    /// The cloud accepted its deletion.
    Deleted,
    /// The cloud refused to delete it; why.
    Refused(String),
}

impl Fate {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Unconfirmed => "unconfirmed",
            Self::Deleted => "deleted",
            Self::Refused(_) => "refused",
        }
    }

    /// Why it could not be deleted.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

/// An instance with this site's tag that no order has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnknownInstance {
    /// What kind.
    pub kind: Kind,
    /// In which account.
    pub account: String,
    /// What the cloud calls it.
    pub instance: String,
    /// The order that its tag names.
    pub order: OrderId,
    /// Why it is here.
    pub why: Why,
    /// In our words.
    pub status: Status,
    /// In the cloud's own word.
    pub cloud_state: String,
    /// When the cloud made it, where it tells.
    pub created_at: Option<Timestamp>,
    /// What was done about it.
    pub fate: Fate,
}

/// An order that was closed although its cloud may still hold something of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PossibleOrphan {
    /// The order.
    pub order: OrderId,
    /// What kind.
    pub kind: Kind,
    /// In which account.
    pub account: Option<String>,
    /// What to look for.
    pub tag: String,
    /// What the cloud called it, where that is known.
    pub instance: Option<String>,
    /// When it was forgotten.
    pub closed_at: Timestamp,
    /// Whether the cloud still shows anything of it; `None`: it could not be listed.
    pub is_shown: Option<bool>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// In which account; none = the whole cloud.
    pub account: Option<String>,
    /// Which kind.
    pub kind: Option<Kind>,
    /// Why.
    pub reason: String,
}

impl Gap {
    pub(crate) fn of(reason: impl Into<String>) -> Self {
        Self { account: None, kind: None, reason: reason.into() }
    }
}

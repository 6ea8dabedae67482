//! Sweeps as an administrator sees them.

use archipel_model::Timestamp;
use archipel_orders::sweep::report::{CloudSweep, Gap, PossibleOrphan, SweepReport, UnknownInstance};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi::schemas;

/// What the clouds hold under this site's tag, compared with its orders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sweep)]
pub(crate) struct SweepView {
    /// The store's present life. Made anew whenever it is made or imported.
    #[schema(value_type = String, format = Uuid)]
    incarnation: Uuid,
    /// Whether sweeps may delete what this store does not know: not after a restore, until somebody confirms the
    /// incarnation.
    confirmed: bool,
    /// The last sweep of each cloud since the daemon started.
    clouds: Vec<CloudSweepView>,
}

/// The last sweep of one cloud.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CloudSweep)]
struct CloudSweepView {
    cloud: String,
    /// `never`, `asked`, `running`, `done`, or `incomplete`: `gaps` says what could not be looked at.
    state: &'static str,
    /// Seconds between two sweeps; 0 = only on request.
    every_s: u64,
    /// What is done about unknown instances: `report` or `delete`.
    #[schema(value_type = String)]
    policy: Value,
    #[schema(value_type = Option<String>, format = DateTime)]
    began_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Accounts that orders of the store name.
    accounts: usize,
    /// Instances with this site's tag.
    looked_at: u64,
    unknown: Vec<UnknownInstanceView>,
    /// More of them than are listed.
    more: u64,
    possible_orphans: Vec<PossibleOrphanView>,
    gaps: Vec<GapView>,
}

/// An instance that no order has, seen twice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnknownInstance)]
struct UnknownInstanceView {
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    account: String,
    /// What the cloud calls it.
    instance: String,
    /// The order that its tag names.
    order: String,
    /// `no-order`, `closed-order`, `duplicate` (its order holds another one), `failed-order` or `misplaced`.
    why: &'static str,
    #[schema(value_type = String)]
    status: Value,
    cloud_state: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// `reported`, `unconfirmed` (it would have been deleted), `deleted`, or `refused`.
    fate: &'static str,
    /// Why it could not be deleted.
    reason: Option<String>,
}

/// A forgotten order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PossibleOrphan)]
struct PossibleOrphanView {
    order: String,
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    account: Option<String>,
    /// What to look for in the cloud.
    tag: String,
    instance: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    closed_at: Timestamp,
    /// Whether the cloud still shows anything of it; null: it could not be listed.
    is_shown: Option<bool>,
}

/// Something that could not be looked at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SweepGap)]
struct GapView {
    account: Option<String>,
    kind: Option<String>,
    reason: String,
}

impl From<SweepReport> for SweepView {
    fn from(report: SweepReport) -> Self {
        Self {
            incarnation: report.incarnation,
            confirmed: report.confirmed,
            clouds: report.clouds.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CloudSweep> for CloudSweepView {
    fn from(sweep: CloudSweep) -> Self {
        Self {
            cloud: sweep.cloud.to_string(),
            state: sweep.state.as_str(),
            every_s: sweep.policy.every_s,
            policy: serde_json::to_value(sweep.policy.unknown).unwrap_or(Value::Null),
            began_at: sweep.began_at,
            ended_at: sweep.ended_at,
            accounts: sweep.accounts,
            looked_at: sweep.looked_at,
            unknown: sweep.unknown.into_iter().map(Into::into).collect(),
            more: sweep.more,
            possible_orphans: sweep.possible_orphans.into_iter().map(Into::into).collect(),
            gaps: sweep.gaps.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<UnknownInstance> for UnknownInstanceView {
    fn from(one: UnknownInstance) -> Self {
        Self {
            kind: one.kind.as_str(),
            account: one.account,
            instance: one.instance,
            order: one.order.to_string(),
            why: one.why.as_str(),
            status: serde_json::to_value(one.status).unwrap_or(Value::Null),
            cloud_state: one.cloud_state,
            created_at: one.created_at,
            reason: one.fate.reason().map(str::to_owned),
            fate: one.fate.as_str(),
        }
    }
}

impl From<PossibleOrphan> for PossibleOrphanView {
    fn from(one: PossibleOrphan) -> Self {
        Self {
            order: one.order.to_string(),
            kind: one.kind.as_str(),
            account: one.account,
            tag: one.tag,
            instance: one.instance,
            closed_at: one.closed_at,
            is_shown: one.is_shown,
        }
    }
}

impl From<Gap> for GapView {
    fn from(gap: Gap) -> Self {
        Self { account: gap.account, kind: gap.kind.map(|kind| kind.to_string()), reason: gap.reason }
    }
}

/// What to sweep.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepRequest {
    /// One cloud; all where left out.
    #[serde(default)]
    #[schema(max_length = 63)]
    pub(crate) cloud: Option<String>,
}

/// The confirmation of a restored store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRequest {
    /// The incarnation that was looked at.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) incarnation: Uuid,
    /// For the record.
    #[schema(min_length = 1, max_length = 1024)]
    pub(crate) reason: String,
}

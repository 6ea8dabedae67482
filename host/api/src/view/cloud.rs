//! Clouds and what they offer, as clients see them.

use std::collections::BTreeMap;

use archipel_model::order::Kind;
use archipel_model::plugin::{CloudNetwork, ImageEntry, QuotaEntry, SpecEntry, Usage};
use archipel_model::site::CloudBinding;
use archipel_orders::{BreakerState, QueueFigures};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A cloud of this site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cloud)]
pub(crate) struct CloudView {
    name: String,
    /// The plugin that drives it.
    driver: String,
    region: Option<String>,
    /// `active`, `draining` (no new orders) or `maintenance` (creates wait).
    #[schema(value_type = String)]
    state: Value,
    /// What can be asked of it: `compute`, `volume`, `network`, `attachment`, `compute-power`, `quota`, `spec`, `image`.
    interfaces: Vec<&'static str>,
    /// Power actions on its machines; all of them while their driver is away.
    actions: Vec<&'static str>,
    health: Health,
}

/// How a cloud does, seen from this site.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `up`, `failing` (the last calls were not answered), `down` (it is only probed until it answers) or `away` (its driver
    /// does not serve).
    status: &'static str,
    /// Why, where it is not up.
    reason: Option<String>,
    /// Calls that were not answered since the last one that was. A refusal is an answer.
    failures_in_a_row: u64,
    /// Whether it is asked: `closed` (yes), `half-open` (one call at a time, to see whether it is back) or `open` (no).
    breaker: &'static str,
}

/// So many failed calls in a row are no accident.
const FAILING: u64 = 3;

impl CloudView {
    pub(crate) fn of(cloud: &CloudBinding, queue: Option<&QueueFigures>) -> Self {
        let mut interfaces: Vec<&'static str> =
            Kind::ALL.into_iter().filter(|kind| cloud.drivers.contains_key(kind)).map(Kind::as_str).collect();
        let others = [
            ("compute-power", cloud.power.is_some()),
            ("quota", cloud.quota.is_some()),
            ("spec", cloud.specs.is_some()),
            ("image", cloud.images.is_some()),
        ];
        interfaces.extend(others.into_iter().filter(|(_, has)| *has).map(|(name, _)| name));
        let failures = queue.map_or(0, |queue| queue.silences_in_a_row);
        let breaker = queue.map(|queue| queue.breaker).unwrap_or_default();
        let (status, reason) = match &cloud.away {
            Some(reason) => ("away", Some(reason.clone())),
            None if breaker != BreakerState::Closed => {
                let again = queue.map_or(0, |queue| queue.asked_again_in_ms.div_ceil(1000));
                (
                    "down",
                    Some(format!("the last {failures} calls were not answered; it is probed in {again} s")),
                )
            }
            None if failures >= FAILING => {
                ("failing", Some(format!("the last {failures} calls were not answered")))
            }
            None => ("up", None),
        };
        Self {
            name: cloud.name.to_string(),
            driver: cloud.driver.clone(),
            region: cloud.region.clone(),
            state: serde_json::to_value(cloud.state).unwrap_or(Value::Null),
            interfaces,
            actions: cloud
                .power
                .iter()
                .flat_map(|power| power.actions())
                .map(|action| action.as_str())
                .collect(),
            health: Health { status, reason, failures_in_a_row: failures, breaker: breaker.as_str() },
        }
    }
}

/// A size of machine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Spec)]
pub(crate) struct SpecView {
    /// `spec` of a compute.
    id: String,
    name: String,
    vcpu: u32,
    ram_mib: u64,
    disk_gib: u64,
    /// What `requirements` are matched with.
    attributes: BTreeMap<String, String>,
}

impl From<SpecEntry> for SpecView {
    fn from(spec: SpecEntry) -> Self {
        let SpecEntry { id, name, vcpu, ram_mib, disk_gib, attributes } = spec;
        Self { id, name, vcpu, ram_mib, disk_gib, attributes }
    }
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub(crate) struct ImageView {
    /// `image` of a compute.
    id: String,
    name: String,
    size_bytes: Option<u64>,
    min_disk_gib: Option<u64>,
    min_ram_mib: Option<u64>,
    /// The cloud's own word.
    status: String,
    attributes: BTreeMap<String, String>,
}

impl From<ImageEntry> for ImageView {
    fn from(image: ImageEntry) -> Self {
        let ImageEntry { id, name, size_bytes, min_disk_gib, min_ram_mib, status, attributes } = image;
        Self { id, name, size_bytes, min_disk_gib, min_ram_mib, status, attributes }
    }
}

/// A network that the cloud has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CloudNetwork)]
pub(crate) struct NetworkView {
    /// `cloud_id` in `networks` of a compute.
    id: String,
    name: String,
    cidr: Option<String>,
    /// Not the account's alone.
    shared: bool,
}

impl From<CloudNetwork> for NetworkView {
    fn from(network: CloudNetwork) -> Self {
        let CloudNetwork { id, name, cidr, shared } = network;
        Self { id, name, cidr, shared }
    }
}

/// What may still be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quota {
    /// As the cloud counts, for the whole local account.
    pub(crate) entries: Vec<QuotaEntryView>,
    /// The local account is used by others too: `used` is then not yours alone.
    pub(crate) shared: bool,
    /// The caller's own orders at this cloud that are not closed.
    pub(crate) own: UsageView,
}

/// One counted thing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuotaEntry)]
pub(crate) struct QuotaEntryView {
    /// `instances`, `vcpu`, `ram_mib`, `volumes`, `storage_gib`, `networks`, or the cloud's own word.
    name: String,
    /// Null = unlimited.
    total: Option<u64>,
    used: u64,
}

impl From<QuotaEntry> for QuotaEntryView {
    fn from(entry: QuotaEntry) -> Self {
        let QuotaEntry { name, total, used } = entry;
        Self { name, total, used }
    }
}

/// What someone holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageView {
    instances: u64,
    vcpu: u64,
    ram_mib: u64,
    disk_gib: u64,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let Usage { instances, vcpu, ram_mib, disk_gib } = usage;
        Self { instances, vcpu, ram_mib, disk_gib }
    }
}

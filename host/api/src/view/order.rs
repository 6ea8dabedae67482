//! An order as its owner sees it. The driver's own note, the local account and everything of the scheduler stay inside.

use archipel_model::order::{Allocation, Fault, Instance, Order, Unreachable};
use archipel_model::{OrderId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::openapi::schemas;

/// An order. Fields come in this order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// The only handle: works on every path that takes an order.
    #[schema(value_type = String, format = Uuid)]
    id: OrderId,
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    /// Where it is read.
    href: String,
    /// For people.
    name: String,
    /// Where it is provided.
    site: String,
    /// By which cloud.
    cloud: String,
    #[schema(schema_with = schemas::state)]
    state: &'static str,
    /// Set while nothing is known of the instance: the state is then the last one known.
    unreachable: Option<UnreachableView>,
    /// What it waits for.
    #[schema(value_type = Vec<Object>)]
    waiting_for: Vec<Value>,
    /// Why it failed or stands still.
    fault: Option<FaultView>,
    /// As asked, with references resolved to order ids.
    #[schema(value_type = Object)]
    spec: Value,
    /// What the cloud made.
    instance: Option<InstanceView>,
    owner: OwnerView,
    /// The group it acts for.
    group: Option<String>,
    #[schema(schema_with = schemas::labels)]
    labels: BTreeMap<String, String>,
    lease: Option<LeaseView>,
    /// Must be fulfilled by then.
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline: Option<Timestamp>,
    #[schema(schema_with = schemas::on_quota)]
    on_quota: Value,
    depends_on: Vec<DependsOnView>,
    /// The order of the requesting site.
    origin: Option<RemoteOrderView>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The ETag without its quotes.
    version: u64,
}

/// Nothing is known of the instance now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Unreachable)]
struct UnreachableView {
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    reason: String,
    /// `cloud`, `site`, `account` or `needs-user`.
    #[schema(value_type = String)]
    scope: Value,
}

/// Why an order failed or stands still.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fault)]
struct FaultView {
    /// `invalid`, `forbidden`, `quota-exceeded`, `unsupported`, `transient`, `permanent` and so on.
    kind: String,
    /// A finer word, e.g. `dependency-failed`.
    code: Option<String>,
    /// In the plugin's words.
    message: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The order that caused it.
    #[schema(value_type = Option<String>, format = Uuid)]
    order: Option<OrderId>,
}

/// What the cloud made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
struct InstanceView {
    /// What the cloud calls it: information, never a handle.
    id: String,
    /// `creating`, `ready`, `busy`, `paused`, `stopped`, `hibernated`, `failed` or `unknown`.
    #[schema(value_type = String)]
    status: Value,
    /// The cloud's own word.
    cloud_state: String,
    addresses: Vec<String>,
    allocation: AllocationView,
    /// When it was last seen to be so.
    #[schema(value_type = Option<String>, format = DateTime)]
    observed_at: Option<Timestamp>,
}

/// What was really granted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Allocation)]
struct AllocationView {
    #[serde(skip_serializing_if = "Option::is_none")]
    vcpu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_gib: Option<u64>,
}

/// Whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Owner)]
pub(crate) struct OwnerView {
    issuer: String,
    subject: String,
    /// For people.
    name: String,
}

/// For how long.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lease)]
struct LeaseView {
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// An order that this one rests on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DependsOn)]
struct DependsOnView {
    #[schema(value_type = String, format = Uuid)]
    order: OrderId,
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    cloud: String,
    site: String,
}

/// An order at another site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemoteOrder)]
struct RemoteOrderView {
    site: String,
    #[schema(value_type = String, format = Uuid)]
    order: OrderId,
}

/// Where an order is read.
pub(crate) fn href(order: &Order) -> String {
    format!("/v1/{}/{}", order.kind.collection(), order.id)
}

fn word(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

impl OrderView {
    /// The order as clients see it.
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            id: order.id,
            kind: order.kind.as_str(),
            href: href(order),
            name: order.name.clone(),
            site: order.site.to_string(),
            cloud: order.cloud.to_string(),
            state: order.state.as_str(),
            unreachable: order.unreachable.as_ref().map(UnreachableView::of),
            waiting_for: order.waiting_for.iter().map(word).collect(),
            fault: order.fault.as_ref().map(FaultView::of),
            spec: order.spec.clone(),
            instance: order.instance.as_ref().map(InstanceView::of),
            owner: OwnerView {
                issuer: order.user.issuer.clone(),
                subject: order.user.subject.clone(),
                name: order.user.name.clone(),
            },
            group: order.group.clone(),
            labels: order.labels.clone(),
            lease: order.lease.map(|lease| LeaseView { expires_at: lease.expires_at }),
            deadline: order.deadline,
            on_quota: word(order.on_quota),
            depends_on: order
                .depends_on
                .iter()
                .map(|on| DependsOnView {
                    order: on.order,
                    kind: on.kind.as_str(),
                    cloud: on.cloud.to_string(),
                    site: on.site.to_string(),
                })
                .collect(),
            origin: order
                .origin
                .as_ref()
                .map(|origin| RemoteOrderView { site: origin.site.to_string(), order: origin.order }),
            created_at: order.created_at,
            updated_at: order.updated_at,
            version: order.version,
        }
    }
}

impl UnreachableView {
    fn of(unreachable: &Unreachable) -> Self {
        Self { since: unreachable.since, reason: unreachable.reason.clone(), scope: word(unreachable.scope) }
    }
}

impl FaultView {
    fn of(fault: &Fault) -> Self {
        Self {
            kind: fault.kind.to_string(),
            code: fault.code.clone(),
            message: fault.message.clone(),
            at: fault.at,
            order: fault.order,
        }
    }
}

impl InstanceView {
    fn of(instance: &Instance) -> Self {
        let Allocation { vcpu, ram_mib, disk_gib } = instance.allocation;
        Self {
            id: instance.id.clone(),
            status: word(instance.status),
            cloud_state: instance.cloud_state.clone(),
            addresses: instance.addresses.clone(),
            allocation: AllocationView { vcpu, ram_mib, disk_gib },
            observed_at: instance.observed_at,
        }
    }
}

/// The order as JSON, without what the policy withholds (obligation `redact`: JSON pointers, RFC 6901).
pub(crate) fn json(order: &Order, redact: &[String]) -> Value {
    let mut value = word(OrderView::of(order));
    for pointer in redact {
        remove(&mut value, pointer);
    }
    value
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.shift_remove(&last);
        }
        Some(Value::Array(items)) => {
            if let Some(item) = last.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}

/// What a delete with `?dry_run=true` would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// Always true.
    pub(crate) dry_run: bool,
    /// Orders that would be deleted, children before their parents, the order itself last.
    #[schema(value_type = Vec<String>)]
    pub(crate) orders: Vec<OrderId>,
}

/// The results of a bulk request, one for each item, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResults {
    /// In the order of the request.
    pub(crate) results: Vec<BulkResult>,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// As the item's own POST would have answered: 201, or the problem's.
    pub(crate) status: u16,
    /// The order, where one was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OrderView>)]
    pub(crate) order: Option<Value>,
    /// The problem, where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) problem: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redaction_takes_away_what_a_pointer_names_and_nothing_else() {
        let mut value: Value =
            serde_json::json!({"owner": {"name": "a", "e/x": 1}, "list": [1, 2], "keep": {}});
        for pointer in ["/owner/name", "/owner/e~1x", "/list/0", "/nothing/here", "", "keep"] {
            remove(&mut value, pointer);
        }
        assert_eq!(value, serde_json::json!({"owner": {}, "list": [null, 2], "keep": {}}));
    }
}

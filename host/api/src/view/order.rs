//! An order as its owner sees it. The driver's own note, the local account and everything of the scheduler stay inside.

use archipel_model::order::{
    Allocation, Fault, Instance, OnQuota, Order, Scope, Status, Unreachable, WaitingFor,
};
use archipel_model::power::PowerAction;
use archipel_model::{OrderId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::openapi::schemas;
use crate::problem::row_of;

/// An order. Fields come in this order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView<'a> {
    /// The only handle: works on every path that takes an order.
    #[schema(value_type = String, format = Uuid)]
    id: OrderId,
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    /// Where it is read.
    href: String,
    /// For people.
    name: &'a str,
    /// Where it is provided.
    site: &'a str,
    /// By which cloud.
    cloud: &'a str,
    #[schema(schema_with = schemas::state)]
    state: &'static str,
    /// Set while nothing is known of the instance: the state is then the last one known.
    unreachable: Option<UnreachableView<'a>>,
    /// What it waits for.
    #[schema(value_type = Vec<Object>)]
    waiting_for: &'a [WaitingFor],
    /// The power action under way.
    power: Option<PowerView>,
    /// Why it failed or stands still, or why the last power action came to nothing.
    fault: Option<FaultView<'a>>,
    /// As asked, with references resolved to order ids.
    #[schema(value_type = Object)]
    spec: &'a Value,
    /// What the cloud made.
    instance: Option<InstanceView<'a>>,
    owner: OwnerView<'a>,
    /// The group it acts for.
    group: Option<&'a str>,
    #[schema(schema_with = schemas::labels)]
    labels: &'a BTreeMap<String, String>,
    lease: Option<LeaseView>,
    /// Must be fulfilled by then.
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline: Option<Timestamp>,
    #[schema(schema_with = schemas::on_quota)]
    on_quota: OnQuota,
    depends_on: Vec<DependsOnView<'a>>,
    /// The order of the requesting site.
    origin: Option<RemoteOrderView<'a>>,
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
struct UnreachableView<'a> {
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    reason: &'a str,
    /// `cloud`, `site`, `account` or `needs-user`.
    #[schema(value_type = String)]
    scope: Scope,
}

/// A power action under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Power)]
struct PowerView {
    #[schema(schema_with = schemas::action)]
    action: PowerAction,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// Why an order failed or stands still.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fault)]
struct FaultView<'a> {
    /// `invalid`, `forbidden`, `quota-exceeded`, `unsupported`, `transient`, `permanent` and so on.
    kind: String,
    /// A finer word, e.g. `dependency-failed`.
    code: Option<&'a str>,
    /// The status of an answer with the same failure: 409 where the cloud's quota is used up, 403 where it forbids.
    status: u16,
    /// In the plugin's words.
    message: &'a str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The order that caused it.
    #[schema(value_type = Option<String>, format = Uuid)]
    order: Option<OrderId>,
}

/// What the cloud made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
struct InstanceView<'a> {
    /// What the cloud calls it: information, never a handle.
    id: &'a str,
    /// `creating`, `ready`, `busy`, `paused`, `stopped`, `hibernated`, `failed` or `unknown`.
    #[schema(value_type = String)]
    status: Status,
    /// The cloud's own word.
    cloud_state: &'a str,
    addresses: &'a [String],
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
struct OwnerView<'a> {
    issuer: &'a str,
    subject: &'a str,
    /// For people.
    name: &'a str,
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
struct DependsOnView<'a> {
    #[schema(value_type = String, format = Uuid)]
    order: OrderId,
    #[schema(schema_with = schemas::kind)]
    kind: &'static str,
    cloud: &'a str,
    site: &'a str,
}

/// An order at another site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemoteOrder)]
struct RemoteOrderView<'a> {
    site: &'a str,
    #[schema(value_type = String, format = Uuid)]
    order: OrderId,
}

/// Where an order is read.
pub(crate) fn href(order: &Order) -> String {
    format!("/v1/{}/{}", order.kind.collection(), order.id)
}

impl<'a> OrderView<'a> {
    /// The order as clients see it.
    fn of(order: &'a Order) -> Self {
        Self {
            id: order.id,
            kind: order.kind.as_str(),
            href: href(order),
            name: &order.name,
            site: order.site.as_str(),
            cloud: order.cloud.as_str(),
            state: order.state.as_str(),
            unreachable: order.unreachable.as_ref().map(UnreachableView::of),
            waiting_for: &order.waiting_for,
            power: order.power.as_ref().map(|power| PowerView { action: power.action, since: power.since }),
            fault: order.fault.as_ref().map(FaultView::of),
            spec: &order.spec,
            instance: order.instance.as_ref().map(InstanceView::of),
            owner: OwnerView {
                issuer: &order.user.issuer,
                subject: &order.user.subject,
                name: &order.user.name,
            },
            group: order.group.as_deref(),
            labels: &order.labels,
            lease: order.lease.map(|lease| LeaseView { expires_at: lease.expires_at }),
            deadline: order.deadline,
            on_quota: order.on_quota,
            depends_on: order
                .depends_on
                .iter()
                .map(|on| DependsOnView {
                    order: on.order,
                    kind: on.kind.as_str(),
                    cloud: on.cloud.as_str(),
                    site: on.site.as_str(),
                })
                .collect(),
            origin: order
                .origin
                .as_ref()
                .map(|origin| RemoteOrderView { site: origin.site.as_str(), order: origin.order }),
            created_at: order.created_at,
            updated_at: order.updated_at,
            version: order.version,
        }
    }
}

impl<'a> UnreachableView<'a> {
    fn of(unreachable: &'a Unreachable) -> Self {
        Self { since: unreachable.since, reason: &unreachable.reason, scope: unreachable.scope }
    }
}

impl<'a> FaultView<'a> {
    fn of(fault: &'a Fault) -> Self {
        Self {
            kind: fault.kind.to_string(),
            code: fault.code.as_deref(),
            status: row_of(fault.kind, fault.code.as_deref()).status,
            message: &fault.message,
            at: fault.at,
            order: fault.order,
        }
    }
}

impl<'a> InstanceView<'a> {
    fn of(instance: &'a Instance) -> Self {
        let Allocation { vcpu, ram_mib, disk_gib } = instance.allocation;
        Self {
            id: &instance.id,
            status: instance.status,
            cloud_state: &instance.cloud_state,
            addresses: &instance.addresses,
            allocation: AllocationView { vcpu, ram_mib, disk_gib },
            observed_at: instance.observed_at,
        }
    }
}

/// Bytes that most orders take as JSON.
const USUAL_BYTES: usize = 2048;

/// The order as JSON, without what the policy withholds (obligation `redact`: JSON pointers, RFC 6901). Written from the
/// order as it is: a tree of values in between took as long as all the rest of a request.
pub(crate) fn body(order: &Order, redact: &[String]) -> String {
    if !redact.is_empty() {
        return json(order, redact).to_string();
    }
    let mut body = Vec::with_capacity(USUAL_BYTES);
    let written = serde_json::to_writer(&mut body, &OrderView::of(order)).map(|()| String::from_utf8(body));
    written.ok().and_then(Result::ok).unwrap_or_default()
}

/// The same as a tree, for what is put together of several.
pub(crate) fn json(order: &Order, redact: &[String]) -> Value {
    let mut value = serde_json::to_value(OrderView::of(order)).unwrap_or(Value::Null);
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
    #[schema(value_type = Option<OrderView<'static>>)]
    pub(crate) order: Option<Value>,
    /// The problem, where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) problem: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_model::ErrorKind;

    #[test]
    fn a_fault_has_the_status_that_an_answer_would_have() {
        let fault = |kind| Fault {
            kind,
            code: None,
            message: "m".into(),
            at: Timestamp::from_millis(0),
            order: None,
        };
        for (kind, status) in [
            (ErrorKind::QuotaExceeded, 409),
            (ErrorKind::Forbidden, 403),
            (ErrorKind::Permanent, 422),
            (ErrorKind::Transient, 503),
        ] {
            assert_eq!(FaultView::of(&fault(kind)).status, status);
        }
    }

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

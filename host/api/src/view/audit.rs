//! The audit as administrators and auditors see it.

use archipel_model::Timestamp;
use archipel_model::audit::{AddressUse, AuditEntry, AuditLink, AuditWalk, Decider};
use serde::Serialize;
use utoipa::ToSchema;

/// One record of the audit, in its place in the chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub(crate) struct AuditView {
    /// Grows along the chain.
    sequence: u64,
    /// This record's hash (SHA-256, hexadecimal).
    hash: String,
    /// The hash of the record before.
    before: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Finds the log lines.
    request: String,
    /// `public`, `admin` (the administrator's socket) or `daemon`.
    #[schema(value_type = String)]
    door: archipel_model::audit::AuditDoor,
    /// Of the client.
    address: Option<String>,
    /// Who asked; null where nobody was known.
    who: Option<AuditUserView>,
    /// The operation's id in this document, or the daemon's own word.
    operation: String,
    /// Kind of the resource.
    kind: Option<String>,
    order: Option<String>,
    cloud: Option<String>,
    /// What else it was about: a plugin, a publisher, an address.
    on: Option<String>,
    /// `allowed` (its effect follows), `denied`, or allowed and then `refused` or `failed`.
    outcome: &'static str,
    /// Of the answer, where it was known.
    status: Option<u16>,
    reason: Option<String>,
    /// The plugins that allowed it, or the one that did not.
    decided_by: Vec<DeciderView>,
    /// How many such requests this record stands for.
    count: u64,
    /// Of a record for many: some of the addresses.
    addresses: Vec<String>,
}

/// Who asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditUser)]
struct AuditUserView {
    issuer: String,
    subject: String,
    name: String,
    /// The group that was acted for.
    group: Option<String>,
    /// Null = this site.
    home_site: Option<String>,
    session: Option<String>,
}

/// A plugin that decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decider)]
struct DeciderView {
    plugin: String,
    /// SHA-256 of the component.
    digest: String,
    /// Digest of component, configuration and grants together.
    policy: String,
}

impl DeciderView {
    fn of(decider: Decider) -> Self {
        let Decider { plugin, digest, policy } = decider;
        Self { plugin, digest, policy }
    }
}

impl AuditView {
    pub(crate) fn of(entry: AuditEntry) -> Self {
        let AuditEntry { sequence, before, hash, record } = entry;
        let who = record.who.map(|who| AuditUserView {
            issuer: who.owner.issuer,
            subject: who.owner.subject,
            name: who.name,
            group: who.group,
            home_site: who.home_site.map(Into::into),
            session: who.session.map(|session| session.to_string()),
        });
        Self {
            sequence,
            hash,
            before,
            at: record.at,
            request: record.request,
            door: record.door,
            address: record.address,
            who,
            operation: record.operation,
            kind: record.kind,
            order: record.order.map(|order| order.to_string()),
            cloud: record.cloud,
            on: record.on,
            outcome: record.outcome.as_str(),
            status: record.status,
            reason: record.reason,
            decided_by: record.decided_by.into_iter().map(DeciderView::of).collect(),
            count: record.count,
            addresses: record.addresses,
        }
    }
}

/// A place in the chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub(crate) struct HeadView {
    /// 0 = before the first record.
    sequence: u64,
    /// SHA-256, hexadecimal. Note it elsewhere: `archipel audit verify --head SEQUENCE:HASH` tells whether it still stands.
    hash: String,
    /// Records up to it, those that retention removed too.
    records: u64,
}

impl HeadView {
    pub(crate) fn of(link: AuditLink) -> Self {
        Self { sequence: link.sequence, hash: link.hash, records: link.count }
    }
}

/// What a walk along some of the chain found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub(crate) struct VerificationView {
    /// Nothing wrong so far.
    ok: bool,
    /// Records that were looked at.
    records: u64,
    /// How far the chain holds.
    upto: HeadView,
    /// The first thing that is not as it must be.
    broken: Option<BreakView>,
    /// Whether the `head` that was asked for is in the chain: null where it was not asked for, or is older than what
    /// retention left.
    head_holds: Option<bool>,
    /// Go on with it as `?cursor=`; null at the end of the chain, or where it is broken.
    next: Option<String>,
}

/// Where a chain is broken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditBreak)]
struct BreakView {
    sequence: u64,
    what: String,
}

impl VerificationView {
    pub(crate) fn of(walk: AuditWalk, head_holds: Option<bool>, next: Option<String>) -> Self {
        let broken = walk.broken.map(|broken| BreakView { sequence: broken.sequence, what: broken.what });
        Self {
            ok: broken.is_none() && head_holds != Some(false),
            records: walk.records,
            upto: HeadView::of(walk.upto),
            broken,
            head_holds,
            next,
        }
    }
}

/// Who had an address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddressUse)]
pub(crate) struct AddressUseView {
    address: String,
    order: String,
    kind: &'static str,
    owner: OwnerView,
    /// The user's home site.
    home_site: String,
    group: Option<String>,
    cloud: String,
    /// The providing site.
    site: String,
    /// The order at the requesting site.
    origin: Option<OriginView>,
    /// What the cloud calls it.
    instance: String,
    /// From here on the instance may have had it.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// First seen to have it.
    #[schema(value_type = String, format = DateTime)]
    seen: Timestamp,
    /// First seen not to have it any more; null while it has.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddressOwner)]
struct OwnerView {
    issuer: String,
    subject: String,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddressOrigin)]
struct OriginView {
    site: String,
    order: String,
}

impl AddressUseView {
    pub(crate) fn of(used: AddressUse) -> Self {
        Self {
            address: used.address.to_string(),
            order: used.order.to_string(),
            kind: used.kind.as_str(),
            owner: OwnerView { issuer: used.owner.issuer, subject: used.owner.subject, name: used.user },
            home_site: used.home_site.to_string(),
            group: used.group,
            cloud: used.cloud.to_string(),
            site: used.site.to_string(),
            origin: used
                .origin
                .map(|origin| OriginView { site: origin.site.to_string(), order: origin.order.to_string() }),
            instance: used.instance,
            from: used.from,
            seen: used.seen,
            until: used.until,
        }
    }
}

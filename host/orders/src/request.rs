//! What the callers of the engine say and get.

use std::collections::BTreeMap;

use archipel_model::audit::AuditRecord;
use archipel_model::order::Order;
use archipel_model::spec::LeaseRequest;
use archipel_model::{FederationUser, OrderId, SecretBytes};

use crate::store::{IdempotencyScope, StoredAnswer, Visible};

/// Who asks, as identity answered, and under which obligations.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The user as just verified.
    pub user: FederationUser,
    /// The group the caller acts for.
    pub group: Option<String>,
    /// Whose orders the caller may refer to.
    pub visible: Visible,
    /// Obligation `max-lease`: an order without a lease gets this one, a longer one is refused.
    pub max_lease_s: Option<u64>,
    /// Obligation `add-labels`: written over the user's.
    pub add_labels: BTreeMap<String, String>,
    /// The user's own token, for mappers that pass it on.
    pub session: Option<SecretBytes>,
    /// For logs.
    pub request_id: String,
    /// The client's address.
    pub client_address: Option<String>,
    /// What the audit is to hold of each order that is accepted, written in the accepting commit.
    pub audit: Option<AuditRecord>,
}

/// The idempotency key of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRequest {
    /// Owner, path, key.
    pub scope: IdempotencyScope,
    /// SHA-256 of the request's body, in hex.
    pub request_hash: String,
}

/// What a create did.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub enum Created {
    /// An order was accepted; it is durable.
    New(Order),
    /// The key was used before for the same request: its first answer.
    Replayed(StoredAnswer),
}

/// What a PATCH changes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrderPatch {
    /// `None` removes a label.
    pub labels: BTreeMap<String, Option<String>>,
    /// `None` leaves the lease, `Some(None)` removes it.
    pub lease: Option<Option<LeaseRequest>>,
    /// Obligation `max-lease`: a longer lease, or none, is refused.
    pub max_lease_s: Option<u64>,
}

/// What a delete did.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub enum Deletion {
    /// It has begun and goes on by itself.
    Closing(Order),
    /// The order is closed.
    Closed,
    /// Nothing was done; these would be deleted, children before their parents, the order itself last.
    DryRun(Vec<OrderId>),
}

/// What a wait ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Fulfilled, failed, closed or a steady power state.
    Settled,
    /// Any version but this one.
    ChangedSince(u64),
}

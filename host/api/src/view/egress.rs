//! Requests that left for an order, as an administrator sees them.

use archipel_model::Timestamp;
use archipel_model::egress::EgressEntry;
use serde::Serialize;
use utoipa::ToSchema;

/// A request that left the site. No path, header or body: those may hold secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutgoingRequest)]
pub(crate) struct EgressView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Which binding sent it.
    binding: String,
    /// `sha256:...` of the binding's component.
    digest: String,
    request_id: String,
    method: String,
    /// Scheme, host and port.
    origin: String,
    /// Address and port that were spoken to; null where it did not come so far.
    #[schema(required = true)]
    address: Option<String>,
    /// `sha256:...` of the server's certificate; null without TLS.
    #[schema(required = true)]
    certificate: Option<String>,
    /// null where there was no answer.
    #[schema(required = true)]
    status: Option<u16>,
    /// Bytes of the request's body.
    sent: u64,
    /// Bytes of the answer's body that were read.
    received: u64,
    /// Microseconds to the end of the answer.
    took_us: u64,
    /// `complete`, `abandoned`, or why it failed.
    outcome: String,
}

impl From<EgressEntry> for EgressView {
    fn from(entry: EgressEntry) -> Self {
        Self {
            at: entry.at,
            binding: entry.binding,
            digest: entry.digest,
            request_id: entry.request_id,
            method: entry.method,
            origin: entry.origin,
            address: entry.address.map(|address| address.to_string()),
            certificate: entry.certificate,
            status: entry.status,
            sent: entry.sent,
            received: entry.received,
            took_us: entry.took_us,
            outcome: entry.outcome,
        }
    }
}

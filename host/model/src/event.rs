//! What happened to an order, as a CloudEvents 1.0 event.

use serde::{Deserialize, Serialize};

use crate::{OrderId, Owner, Timestamp};

/// One event. `source` is the site's id, added where it is written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique and growing within the store; clients see it only inside an opaque cursor.
    pub sequence: u64,
    /// `org.archipel.order.open.v1` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The order.
    pub subject: OrderId,
    /// Whose.
    pub owner: Owner,
    /// For which group.
    pub group: Option<String>,
    /// When.
    pub time: Timestamp,
    /// The order's version after it, its state, its fault.
    pub data: serde_json::Value,
}

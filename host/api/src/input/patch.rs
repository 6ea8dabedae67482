//! The body of a PATCH: a JSON merge patch (RFC 7396) of an order's labels and lease. Nothing else of an order can change.

use std::collections::BTreeMap;

use archipel_model::order::Order;
use archipel_model::spec::LeaseRequest;
use archipel_orders::OrderPatch;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::openapi::schemas;

/// A merge patch: what is absent stays, null removes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchOrder {
    /// Labels to set; null removes one, and null for the whole removes all.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = schemas::label_changes_or_null)]
    labels: Option<Option<BTreeMap<String, Option<String>>>>,
    /// A new lease; null removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = schemas::lease_or_null)]
    lease: Option<Option<LeaseRequest>>,
}

/// `Some` also for null, which is not the same as absent here.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl PatchOrder {
    /// As a change of `order`.
    pub(crate) fn of(self, order: &Order, max_lease_s: Option<u64>) -> OrderPatch {
        let labels = match self.labels {
            None => BTreeMap::new(),
            Some(Some(changes)) => changes,
            Some(None) => order.labels.keys().map(|key| (key.clone(), None)).collect(),
        };
        OrderPatch { labels, lease: self.lease, max_lease_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let lease = |text: &str| serde_json::from_str::<PatchOrder>(text).unwrap().lease;
        assert_eq!(lease("{}"), None);
        assert_eq!(lease("{\"lease\": null}"), Some(None));
        assert_eq!(lease("{\"lease\": {\"duration_s\": 60}}"), Some(Some(LeaseRequest::DurationS(60))));
        assert!(serde_json::from_str::<PatchOrder>("{\"name\": \"x\"}").is_err());
    }
}

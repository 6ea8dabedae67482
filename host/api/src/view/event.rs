//! Events as CloudEvents 1.0 in JSON.

use archipel_identity::SiteKeys;
use archipel_model::event::Event;
use archipel_model::{SiteId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One event (CloudEvents 1.0, JSON format).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// `1.0`
    specversion: &'static str,
    /// Unique with `source`.
    id: String,
    /// The site.
    source: String,
    /// `org.archipel.order.<state>.v1`; `org.archipel.stream.reset.v1` says that events before were forgotten.
    #[serde(rename = "type")]
    kind: String,
    /// The order's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    datacontenttype: &'static str,
    /// The order's state, version and fault after it.
    #[schema(value_type = Object)]
    data: Value,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    /// Oldest first, in order per subject.
    pub(crate) items: Vec<EventView>,
    /// Cursor of the next page; null when this is all there is now.
    pub(crate) next: Option<String>,
    pub(crate) incomplete: Vec<crate::page::Incomplete>,
    /// Cursor for what will happen after this page: ask with it later.
    pub(crate) resume: String,
}

impl EventView {
    /// The CloudEvents type.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    pub(crate) fn of(event: &Event, site: &SiteId, keys: &SiteKeys) -> Self {
        Self {
            specversion: "1.0",
            id: event_id(keys, event.sequence),
            source: site.to_string(),
            kind: event.kind.clone(),
            subject: Some(event.subject.to_string()),
            time: event.time,
            datacontenttype: "application/json",
            data: event.data.clone(),
        }
    }

    /// Says that events between the cursor and `oldest` were forgotten.
    pub(crate) fn reset(oldest: u64, now: Timestamp, site: &SiteId, keys: &SiteKeys) -> Self {
        Self {
            specversion: "1.0",
            id: format!("reset-{}", event_id(keys, oldest)),
            source: site.to_string(),
            kind: "org.archipel.stream.reset.v1".to_owned(),
            subject: None,
            time: now,
            datacontenttype: "application/json",
            data: Value::Object(serde_json::Map::new()),
        }
    }
}

/// An event's id: the same for every reader and on every way out, and tells nothing of how many events there are.
pub fn event_id(keys: &SiteKeys, sequence: u64) -> String {
    hex::encode(keys.mac("event-id", &sequence.to_be_bytes()).into_iter().take(16).collect::<Vec<u8>>())
}

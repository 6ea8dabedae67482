//! One event as it leaves the site: CloudEvents 1.0 in JSON (structured mode), or its attributes apart from its data
//! (binary mode). The same event has the same id, on every way and in every repetition.

use std::sync::Arc;

use archipel_model::event::Event;
use archipel_model::{OrderId, SiteId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The type of the event that says: events before this were forgotten before they could be sent.
pub const RESET: &str = "org.archipel.stream.reset.v1";

/// The media type of a whole event (CloudEvents JSON format, section 3).
pub(crate) const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of its data.
pub(crate) const DATA: &str = "application/json";

/// How an event is put into a message (CloudEvents 1.0, section "Message").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The event is the message's body, attributes and data.
    #[default]
    Structured,
    /// The data is the body, the attributes are headers.
    Binary,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloudEvent {
    specversion: &'static str,
    /// Unique with `source`, and opaque.
    pub id: String,
    /// The site.
    pub source: String,
    /// `org.archipel.order.<state>.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The order; none for a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<OrderId>,
    /// When it happened.
    pub time: Timestamp,
    datacontenttype: &'static str,
    /// What happened.
    pub data: Value,
}

impl CloudEvent {
    /// A member of the data, where it is text.
    pub(crate) fn of_data(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }

    /// The message's body.
    pub(crate) fn body(&self, mode: Mode) -> Bytes {
        let bytes = match mode {
            Mode::Structured => serde_json::to_vec(self),
            Mode::Binary => serde_json::to_vec(&self.data),
        };
        // Strings, numbers and maps with text keys: serde_json cannot refuse them.
        bytes.unwrap_or_default().into()
    }

    /// The body's media type.
    pub(crate) fn media_type(&self, mode: Mode) -> &'static str {
        match mode {
            Mode::Structured => STRUCTURED,
            Mode::Binary => DATA,
        }
    }

    /// The attributes that are headers in binary mode, without the binding's prefix.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("specversion", self.specversion.to_owned()),
            ("id", self.id.clone()),
            ("source", self.source.clone()),
            ("type", self.kind.clone()),
            ("time", self.time.to_string()),
        ];
        all.extend(self.subject.map(|subject| ("subject", subject.to_string())));
        all
    }
}

/// Makes events of what the log holds. `id` is the same function that REST uses, so that a program that reads both
/// knows what it has seen.
#[derive(Clone)]
pub struct Writer {
    site: SiteId,
    id: Arc<dyn Fn(u64) -> String + Send + Sync>,
}

impl Writer {
    /// For this site; `id` makes an event's id of its sequence.
    pub fn new(site: SiteId, id: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        Self { site, id: Arc::new(id) }
    }

    /// An order's event.
    pub(crate) fn event(&self, event: &Event) -> CloudEvent {
        CloudEvent {
            specversion: "1.0",
            id: (self.id)(event.sequence),
            source: self.site.to_string(),
            kind: event.kind.clone(),
            subject: Some(event.subject),
            time: event.time,
            datacontenttype: DATA,
            data: event.data.clone(),
        }
    }

    /// Says that what happened before `oldest` was forgotten.
    pub(crate) fn reset(&self, oldest: u64, now: Timestamp) -> CloudEvent {
        CloudEvent {
            specversion: "1.0",
            id: format!("reset-{}", (self.id)(oldest)),
            source: self.site.to_string(),
            kind: RESET.to_owned(),
            subject: None,
            time: now,
            datacontenttype: DATA,
            data: json!({}),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use archipel_model::Owner;

    use super::*;

    pub(crate) fn writer() -> Writer {
        Writer::new("site-a.example.org".parse().unwrap(), |sequence| format!("e{sequence}"))
    }

    pub(crate) fn logged(sequence: u64, subject: OrderId, word: &str) -> Event {
        Event {
            sequence,
            kind: format!("org.archipel.order.{word}.v1"),
            subject,
            owner: Owner { issuer: "i".into(), subject: "alice".into() },
            group: None,
            time: Timestamp::from_millis(1_795_316_400_000),
            data: json!({"state": word, "cloud": "east", "kind": "compute"}),
        }
    }

    #[test]
    fn a_structured_event_is_the_whole_and_a_binary_one_is_its_data() {
        let subject = OrderId::generate();
        let event = writer().event(&logged(7, subject, "open"));
        let whole: Value = serde_json::from_slice(&event.body(Mode::Structured)).unwrap();
        assert_eq!(
            whole,
            json!({
                "specversion": "1.0", "id": "e7", "source": "site-a.example.org", "type": "org.archipel.order.open.v1",
                "subject": subject.to_string(), "time": event.time.to_string(), "datacontenttype": "application/json",
                "data": {"state": "open", "cloud": "east", "kind": "compute"},
            })
        );
        let data: Value = serde_json::from_slice(&event.body(Mode::Binary)).unwrap();
        assert_eq!(data, whole["data"]);
        for (name, value) in event.attributes() {
            assert_eq!(whole[name], value, "{name}");
        }
    }

    #[test]
    fn a_reset_has_no_subject() {
        let reset = writer().reset(9, Timestamp::from_millis(0));
        let whole: Value = serde_json::from_slice(&reset.body(Mode::Structured)).unwrap();
        assert_eq!((whole["type"].as_str(), whole.get("subject")), (Some(RESET), None));
        assert_eq!(reset.id, "reset-e9");
    }
}

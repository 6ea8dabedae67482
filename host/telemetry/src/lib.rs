//! OpenTelemetry: the site's traces and metrics, sent as OTLP over HTTP (OTLP 1.x, binary protobuf).
//!
//! ```text
//! spans of the rooms ─▶ [traces] sampler, queue ─▶ batches ─┐
//!                                                           ├─▶ [sender] ─▶ collector: /v1/traces, /v1/metrics
//! the text of /metrics ─▶ [openmetrics] ─▶ [metrics] timer ─┘
//! ```
//! Spans are those of `tracing` with the target [`archipel_model::SPAN`]: without `[telemetry]` nobody asks for them, and
//! they cost a load of one byte. Metrics have one definition, the text of `/metrics`; what leaves is what is read there.
//! A collector that is away costs nothing but the spans that do not fit into the queue: a request never waits for it.

mod config;
mod metrics;
mod openmetrics;
mod sender;
mod traces;

pub use config::TelemetryConfig;
pub use metrics::{Source, push};
pub use sender::Sender;
pub use traces::{Traces, TracesLayer};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// Who speaks (OpenTelemetry semantic conventions, `service.*`), and what the site file adds.
fn resource(config: &TelemetryConfig, site: &str, version: &str) -> Resource {
    let own = [
        KeyValue::new("service.name", "archipel"),
        KeyValue::new("service.version", version.to_owned()),
        KeyValue::new("service.instance.id", site.to_owned()),
        KeyValue::new("archipel.site", site.to_owned()),
    ];
    let added = config.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty().with_attributes(own.into_iter().chain(added)).build()
}

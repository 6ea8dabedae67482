//! Metrics: the text of `/metrics`, sent on a timer. One definition serves who pulls and who is pushed to.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::config::TelemetryConfig;
use crate::openmetrics::{self, Span};
use crate::sender::Sender;

/// For the last message, when the site stops.
const LAST: Duration = Duration::from_secs(3);

/// Gives the text of `/metrics` as it is now.
pub type Source = Box<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Sends metrics every `metrics_every_s` until `stop`, and once more then. Returns at once where none are wanted.
pub async fn push(
    config: TelemetryConfig,
    (site, version): (String, &'static str),
    sender: Arc<Sender>,
    source: Source,
    stop: CancellationToken,
) {
    if !config.metrics {
        return;
    }
    let resource = ResourceAttributesWithSchema::from(&crate::resource(&config, &site, version));
    let start = nanoseconds();
    let mut timer = tokio::time::interval(Duration::from_secs(config.metrics_every_s.into()));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick is now, when there is nothing to tell.
    timer.tick().await;
    loop {
        let is_last = tokio::select! {
            _ = timer.tick() => false,
            () = stop.cancelled() => true,
        };
        match source() {
            Ok(text) => {
                let body = message(&text, &resource, Span { start, end: nanoseconds() }).encode_to_vec();
                let sent = sender.send("/v1/metrics", body);
                // The sender has told what there is to tell; at the end nobody waits for a collector that is away.
                let _ = match is_last {
                    true => tokio::time::timeout(LAST, sent).await.unwrap_or(Ok(())),
                    false => sent.await,
                };
            }
            Err(reason) => tracing::error!(reason, "figures could not be written"),
        }
        if is_last {
            return;
        }
    }
}

fn message(text: &str, resource: &ResourceAttributesWithSchema, span: Span) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope { name: "archipel".to_owned(), ..InstrumentationScope::default() };
    let attributes = resource.attributes.0.clone();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: openmetrics::read(text, span),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// Since 1970.
fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

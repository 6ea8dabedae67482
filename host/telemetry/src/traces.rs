//! Spans: sampled, queued, and sent in batches.
//!
//! The subscriber of `tracing` is made before there is a way out of the site, so a [`Traces`] is made first and
//! [connected](Traces::connect) later; what ends in between waits in the queue.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use archipel_model::SPAN;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use prost::Message;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Filtered, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::config::TelemetryConfig;
use crate::sender::Sender;

/// How long an ended span waits for others.
const DELAY: Duration = Duration::from_secs(2);
/// Spans of one request: some 300 KiB.
const BATCH: usize = 512;

/// What [`Traces::layer`] gives.
pub type TracesLayer<S> = Filtered<OpenTelemetryLayer<S, SdkTracer>, FilterFn, S>;

/// The site's traces.
pub struct Traces {
    provider: SdkTracerProvider,
    way: Arc<OnceLock<Way>>,
}

impl Traces {
    /// `None` where the configuration wants none.
    pub fn new(config: &TelemetryConfig, site: &str, version: &str) -> Option<Self> {
        if config.otlp.is_none() || !config.traces {
            return None;
        }
        let way = Arc::new(OnceLock::new());
        let exporter = Exporter { way: Arc::clone(&way), resource: ResourceAttributesWithSchema::default() };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(usize::try_from(config.queue).unwrap_or(usize::MAX))
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(crate::resource(config, site, version))
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_ratio))))
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .build();
        Some(Self { provider, way })
    }

    /// Takes the spans with target [`SPAN`], and nothing else: no line of the log leaves the site by it.
    pub fn layer<S>(&self) -> TracesLayer<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("archipel"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.target() == SPAN))
    }

    /// From now on they are sent. Called once, inside tokio.
    pub fn connect(&self, sender: Arc<Sender>) {
        // A second way is none: there is one collector.
        let _ = self.way.set(Way { sender, threads: Handle::current() });
    }

    /// Sends what waits, for at most so long, and ends.
    pub async fn stop(self, most: Duration) {
        let provider = self.provider;
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(most)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans did not arrive");
        }
    }
}

struct Way {
    sender: Arc<Sender>,
    threads: Handle,
}

struct Exporter {
    way: Arc<OnceLock<Way>>,
    resource: ResourceAttributesWithSchema,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

impl SpanExporter for Exporter {
    /// Runs on the processor's own thread, which has no reactor: the request is made on tokio's.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let failed = |reason: String| OTelSdkError::InternalFailure(reason);
        let Some(way) = self.way.get() else { return Err(failed("not connected yet".to_owned())) };
        let message = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let (sender, body) = (Arc::clone(&way.sender), message.encode_to_vec());
        let task = way.threads.spawn(async move { sender.send("/v1/traces", body).await });
        task.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

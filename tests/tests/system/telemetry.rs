//! Telemetry: what a collector gets, and that one that is away is nobody's trouble.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use archipel_tests::orders::{create, id, reaches, small_compute};
use archipel_tests::site::Site;
use archipel_tests::telemetry::{KEY, Point, Received, Span, story};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use prost::Message;
use serde_json::json;

/// A collector as far as OTLP goes; the first request is refused for now, so that it must come again.
#[derive(Clone, Default)]
struct Collector {
    received: Arc<Mutex<Received>>,
    asked: Arc<Mutex<u64>>,
}

impl Collector {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        endpoint
    }

    fn takes(&self, headers: &HeaderMap) -> bool {
        assert_eq!(headers["x-collector-key"], KEY);
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        *asked > 1
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|one| (one.key, text(one.value.and_then(|value| value.value)))).collect()
}

async fn traces(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !collector.takes(&headers) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let message = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = collector.received.lock().unwrap();
    for group in message.resource_spans {
        let resource = texts(group.resource.unwrap().attributes);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            received.spans.push(Span {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind,
                attributes: texts(span.attributes),
                resource: resource.clone(),
            });
        }
    }
    StatusCode::OK
}

async fn metrics(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !collector.takes(&headers) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let message = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = message.resource_metrics.into_iter().flat_map(|group| group.scope_metrics);
    let mut received = collector.received.lock().unwrap();
    for metric in scopes.flat_map(|scope| scope.metrics) {
        let (kind, points): (&str, Vec<(f64, Vec<KeyValue>)>) = match metric.data.unwrap() {
            Data::Sum(sum) => (
                "sum",
                sum.data_points.into_iter().map(|point| (number(point.value), point.attributes)).collect(),
            ),
            Data::Gauge(gauge) => (
                "gauge",
                gauge.data_points.into_iter().map(|point| (number(point.value), point.attributes)).collect(),
            ),
            Data::Histogram(histogram) => (
                "histogram",
                histogram
                    .data_points
                    .into_iter()
                    .map(|point| (point.count as f64, point.attributes))
                    .collect(),
            ),
            other => panic!("{other:?}"),
        };
        received.points.extend(points.into_iter().map(|(value, attributes)| Point {
            name: metric.name.clone(),
            kind: kind.to_owned(),
            value,
            attributes: texts(attributes),
        }));
    }
    StatusCode::OK
}

fn number(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(number)) => number,
        other => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_collector_gets_the_trace_of_an_order_and_the_figures_of_the_site() {
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    story(&endpoint, || Ok(collector.received.lock().unwrap().clone())).await.unwrap();
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_once_and_holds_nothing_up() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mut site = Site::temporary().unwrap();
    site.config["telemetry"] =
        json!({"otlp": endpoint, "private": true, "metrics_every_s": 1, "timeout_s": 1});
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &small_compute("c")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
    let told = |log: &str| log.matches("telemetry does not arrive").count();
    let until = Instant::now() + std::time::Duration::from_secs(60);
    while told(&daemon.log()) == 0 && Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    alice.get("/v1/me").await.unwrap().success().unwrap();
    let log = daemon.log();
    assert_eq!(told(&log), 1, "{log}");
    assert!(daemon.stop().await.unwrap().success());
}

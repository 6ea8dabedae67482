//! Figures of requests, and the text of `/metrics` (OpenMetrics 1.0): those, the engine's and the plugins'.
//!
//! Requests are counted by route, never by path: a path holds ids, and a label per id would grow without end.

mod plugins;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use archipel_model::Timestamp;
use archipel_model::plugin_admin::PluginStatus;
use archipel_model::publisher::PublisherStatus;
use archipel_orders::OrderFigures;
use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The media type of `/metrics`.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

type Labels = Vec<(&'static str, String)>;

/// Figures of requests.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

struct Figures {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::<Request, Counter>::default();
        // 0.5 ms to 16 s.
        let durations = Family::<Route, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 2.0, 16))
        });
        let mut registry = Registry::with_prefix("archipel");
        registry.register("http_requests", "Requests by route and status", requests.clone());
        registry.register("http_request_duration_seconds", "Time from request to answer", durations.clone());
        Self(Arc::new(Figures { registry, requests, durations }))
    }
}

impl Metrics {
    /// Counts one answer. `route` is the pattern that matched; none is one label for all unknown paths.
    pub(crate) fn count(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
            _ => "other".to_owned(),
        };
        let route = route.unwrap_or("unknown").to_owned();
        self.0
            .durations
            .get_or_create(&Route { method: method.clone(), route: route.clone() })
            .observe(took.as_secs_f64());
        self.0.requests.get_or_create(&Request { method, route, status: status.as_u16() }).inc();
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When a figure cannot be written.
    pub(crate) fn text(
        &self,
        orders: &OrderFigures,
        plugins: &[PluginStatus],
        (publishers, time): (&[PublisherStatus], Timestamp),
        is_ready: bool,
    ) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)?;
        let mut now = Registry::with_prefix("archipel");
        of_orders(&mut now, orders);
        plugins::register(&mut now, plugins);
        of_publishers(&mut now, publishers, time);
        gauge(
            &mut now,
            "ready",
            "1 where the site would answer /readyz with 200",
            vec![(Vec::new(), u64::from(is_ready))],
        );
        text::encode_registry(&mut out, &now)?;
        out.write_str("# EOF\n")?;
        Ok(out)
    }
}

fn of_orders(registry: &mut Registry, orders: &OrderFigures) {
    let by_cloud = |figure: fn(&archipel_orders::QueueFigures) -> u64| -> Vec<(Labels, u64)> {
        orders
            .queues
            .iter()
            .map(|(cloud, queue)| (vec![("cloud", cloud.to_string())], figure(queue)))
            .collect()
    };
    gauge(
        registry,
        "queue_claimed",
        "1 where this daemon works on the cloud's queue",
        by_cloud(|queue| u64::from(queue.claimed)),
    );
    gauge(registry, "queue_orders", "Orders in the cloud's queue", by_cloud(|queue| queue.orders as u64));
    gauge(
        registry,
        "queue_ready",
        "Orders that are due and wait for a slot",
        by_cloud(|queue| queue.ready as u64),
    );
    gauge(registry, "queue_in_flight", "Orders being worked on", by_cloud(|queue| queue.in_flight as u64));
    gauge(
        registry,
        "queue_lag_milliseconds",
        "How late the next due order is",
        by_cloud(|queue| queue.lag_ms),
    );
    gauge(
        registry,
        "queue_unasked",
        "Orders that the cloud was never asked for; back-pressure begins at limits.orders.backlog_most",
        by_cloud(|queue| queue.unasked as u64),
    );
    gauge(
        registry,
        "cloud_failures_in_a_row",
        "Calls that the cloud did not answer since its last answer",
        by_cloud(|queue| queue.silences_in_a_row),
    );
    let breakers = orders.queues.iter().map(|(cloud, queue)| {
        (vec![("cloud", cloud.to_string()), ("state", queue.breaker.as_str().to_owned())], 1)
    });
    gauge(registry, "cloud_breaker", "1 for the state of the cloud's circuit breaker", breakers.collect());
    counter(
        registry,
        "cloud_breaker_opened",
        "Times that the cloud's circuit was opened",
        by_cloud(|queue| queue.breaker_opened),
    );
    gauge(
        registry,
        "sweep_unknown_instances",
        "Instances with the site's tag that no order has, at the last sweep",
        by_cloud(|queue| queue.sweep.unknown),
    );
    gauge(
        registry,
        "sweep_possible_orphans",
        "Forgotten orders of which the cloud may still hold something",
        by_cloud(|queue| queue.sweep.possible_orphans),
    );
    gauge(
        registry,
        "sweep_gaps",
        "What the last sweep could not look at",
        by_cloud(|queue| queue.sweep.gaps),
    );
    for (name, help, figure) in [
        (
            "sweeps",
            "Sweeps of the cloud",
            (|queue| queue.sweep.sweeps) as fn(&archipel_orders::QueueFigures) -> u64,
        ),
        ("sweep_deleted", "Unknown instances that sweeps deleted", |queue| queue.sweep.deleted),
        ("cloud_lists", "Lists that took the place of looks at single instances", |queue| queue.polls.lists),
    ] {
        counter(registry, name, help, by_cloud(figure));
    }
    let polls = orders.queues.iter().flat_map(|(cloud, queue)| {
        let labels = |by: &str| vec![("cloud", cloud.to_string()), ("by", by.to_owned())];
        [(labels("look"), queue.polls.looks), (labels("list"), queue.polls.spared)]
    });
    counter(registry, "cloud_polls", "Instances that were looked at, by how", polls.collect());
    let calls = orders.queues.iter().flat_map(|(cloud, queue)| {
        let labels = |outcome: &str| vec![("cloud", cloud.to_string()), ("outcome", outcome.to_owned())];
        [
            (labels("ok"), queue.calls_ok),
            (labels("refused"), queue.calls_refused),
            (labels("failed"), queue.calls_failed),
        ]
    });
    counter(registry, "cloud_calls", "Calls to the cloud's plugins by outcome", calls.collect());
    let transitions =
        orders.transitions.iter().map(|(state, count)| (vec![("state", state.as_str().to_owned())], *count));
    counter(
        registry,
        "order_transitions",
        "Transitions written, by the state reached",
        transitions.collect(),
    );
    for (name, help, value) in [
        ("order_stale_writes", "Writes that someone else's write came before", orders.stale_writes),
        ("queue_fenced", "Times a queue was lost to another daemon", orders.fenced),
        ("order_step_panics", "Steps that panicked", orders.panics),
        ("order_duplicates_removed", "Duplicate instances that were removed", orders.duplicates_removed),
        ("local_tokens_made", "Local tokens that mappers were asked for", orders.tokens_made),
    ] {
        counter(registry, name, help, vec![(Vec::new(), value)]);
    }
}

fn of_publishers(registry: &mut Registry, publishers: &[PublisherStatus], now: Timestamp) {
    if publishers.is_empty() {
        return;
    }
    let by_name = |figure: &dyn Fn(&PublisherStatus) -> u64| -> Vec<(Labels, u64)> {
        publishers.iter().map(|one| (vec![("publisher", one.name.clone())], figure(one))).collect()
    };
    let states = publishers
        .iter()
        .map(|one| (vec![("publisher", one.name.clone()), ("state", one.state.as_str().to_owned())], 1));
    gauge(registry, "publisher_state", "1 for the state that a publisher is in", states.collect());
    gauge(
        registry,
        "publisher_lag_milliseconds",
        "How long ago the oldest event happened that is not sent",
        by_name(&|one| {
            let lag = one.behind_since.map(|since| now.since(since).as_millis()).unwrap_or_default();
            u64::try_from(lag).unwrap_or(u64::MAX)
        }),
    );
    gauge(
        registry,
        "publisher_waiting",
        "Events that are read and not sent; there may be more in the log",
        by_name(&|one| one.waiting),
    );
    for (name, help, figure) in [
        (
            "publisher_sent",
            "Events sent, repetitions included",
            (|one| one.sent) as fn(&PublisherStatus) -> u64,
        ),
        ("publisher_failures", "Attempts that failed", |one| one.failures),
        ("publisher_given_up", "Events that were given up because they were refused", |one| one.given_up),
        ("publisher_resets", "Times that events were forgotten before they were sent", |one| one.resets),
    ] {
        counter(registry, name, help, by_name(&figure));
    }
}

fn gauge(registry: &mut Registry, name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) {
    let family = Family::<Labels, Gauge<i64>>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    registry.register(name, help, family);
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) {
    let family = Family::<Labels, Counter<u64, AtomicU64>>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).inc_by(value);
    }
    registry.register(name, help, family);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_ends_once_and_counts_by_route() {
        let metrics = Metrics::default();
        metrics.count(&Method::GET, Some("/v1/computes/{id}"), StatusCode::OK, Duration::from_millis(3));
        metrics.count(&Method::from_bytes(b"BREW").unwrap(), None, StatusCode::NOT_FOUND, Duration::ZERO);
        let text = metrics.text(&OrderFigures::default(), &[], (&[], Timestamp::default()), true).unwrap();
        assert!(
            text.contains(
                "archipel_http_requests_total{method=\"GET\",route=\"/v1/computes/{id}\",status=\"200\"} 1"
            ),
            "{text}"
        );
        assert!(text.contains("method=\"other\",route=\"unknown\""));
        assert!(text.contains("archipel_ready 1"));
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}

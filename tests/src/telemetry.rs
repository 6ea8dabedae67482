//! What a collector must have got of a site's day: the same judgement for one that is part of a test and for a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::orders::{id, reaches, small_compute};
use crate::site::Site;

/// How long a collector may take to pass things on.
const MOST: Duration = Duration::from_secs(30);
/// The trace of the client that wants it kept.
const KEPT: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
/// The trace of the client that does not.
const LEFT_OUT: &str = "0af7651916cd43dd8448eb211c80319c";
/// Signs events that leave the site.
const HOOK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What the collector wants to see in a header.
pub const KEY: &str = "a-key-of-the-collector";

/// A span as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its trace, as hex.
    pub trace: String,
    /// Itself, as hex.
    pub id: String,
    /// Its parent, as hex; empty = none.
    pub parent: String,
    /// Internal 1, server 2, client 3 (OTLP `SpanKind`).
    pub kind: i32,
    /// Attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Of the resource.
    pub resource: BTreeMap<String, String>,
}

/// A figure as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Point {
    /// The metric's name.
    pub name: String,
    /// `sum`, `gauge` or `histogram`.
    pub kind: String,
    /// The value; of a histogram, its count.
    pub value: f64,
    /// Attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// All that arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Spans.
    pub spans: Vec<Span>,
    /// Figures.
    pub points: Vec<Point>,
}

/// Lets a site order a machine under a client's trace, with its telemetry sent to `endpoint`; then judges what arrived there.
///
/// # Errors
/// What is missing, or what must not be there.
pub async fn story(endpoint: &str, received: impl Fn() -> Result<Received>) -> Result<String> {
    let mut site = Site::temporary()?;
    site.config["secrets"] = json!({"collector": {"value": KEY}, "hook": {"value": HOOK}});
    // A request that leaves the site, and is refused: nobody there knows the path.
    site.config["events"] = json!({"webhook": [
        {"name": "hook", "url": format!("{endpoint}/hook"), "secrets": ["hook"], "private": true},
    ]});
    site.config["telemetry"] = json!({
        "otlp": endpoint, "headers": {"x-collector-key": "collector"}, "private": true, "metrics_every_s": 1,
        "attributes": {"deployment.environment.name": "test"},
    });
    let daemon = site.start().await?;
    let alice = daemon.login("alice").await?;
    let kept = format!("00-{}-{}-01", KEPT.0, KEPT.1);
    let headers = [("traceparent", kept.as_str())];
    let body = small_compute("traced");
    let answer = alice.send(Method::POST, "/v1/computes", &headers, Some(&body)).await?;
    let ours = answer.header("traceparent").unwrap_or_default().to_owned();
    let order = answer.success()?;
    reaches(&alice, id(&order), "fulfilled").await?;
    let left_out = format!("00-{LEFT_OUT}-00f067aa0ba902b7-00");
    alice.send(Method::GET, "/v1/me", &[("traceparent", left_out.as_str())], None).await?.success()?;
    ensure!(daemon.stop().await?.success(), "the daemon did not end well");

    let until = Instant::now() + MOST;
    loop {
        let all = received()?;
        match judge(&all, &site, endpoint, (&ours, id(&order))) {
            Ok(said) => return Ok(said),
            Err(error) if Instant::now() > until => bail!("{error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn judge(all: &Received, site: &Site, endpoint: &str, (ours, order): (&str, &str)) -> Result<String> {
    let named = |name: &str| all.spans.iter().filter(|span| span.name == name).cloned().collect::<Vec<_>>();
    let server: Vec<Span> =
        named("POST /v1/computes").into_iter().filter(|span| span.trace == KEPT.0).collect();
    ensure!(server.len() == 1, "{} spans of the create under the client's trace", server.len());
    let server = &server[0];
    ensure!(server.parent == KEPT.1, "its parent is {} and not the client's span", server.parent);
    ensure!(server.kind == 2, "it is no server's span: {}", server.kind);
    ensure!(
        ours == format!("00-{}-{}-01", KEPT.0, server.id),
        "the answer named {ours}, the span is {}",
        server.id
    );
    let attribute = |span: &Span, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    ensure!(attribute(server, "http.response.status_code") == "201", "{server:?}");
    ensure!(attribute(server, "http.route") == "/v1/computes", "{server:?}");
    for (name, value) in
        [("service.name", "archipel"), ("archipel.site", site.id()), ("deployment.environment.name", "test")]
    {
        ensure!(
            server.resource.get(name).is_some_and(|is| is == value),
            "resource {name}: {:?}",
            server.resource
        );
    }
    // The way through AAA, below the request.
    for (function, plugin) in [
        ("federation-identity.get-federation-user", "aaa-local"),
        ("authorization.is-authorized", "authz-roles"),
    ] {
        let asked = named(function).into_iter().any(|span| {
            span.trace == KEPT.0
                && span.parent == server.id
                && attribute(&span, "archipel.plugin.name") == plugin
        });
        ensure!(asked, "no span of {plugin}'s {function} below the create");
    }
    // The order's own steps begin traces of their own; the driver is called below one.
    let steps: BTreeSet<String> = named("order step")
        .into_iter()
        .filter(|span| attribute(span, "archipel.order.id") == order)
        .map(|span| span.id)
        .collect();
    let driven = named("compute.request-instance").into_iter().any(|span| steps.contains(&span.parent));
    ensure!(driven, "no span of compute.request-instance below one of {} steps of the order", steps.len());
    let left = named("POST").into_iter().any(|span| {
        let port = format!(":{}", attribute(&span, "server.port"));
        span.kind == 3 && endpoint.ends_with(&port) && attribute(&span, "http.response.status_code") == "404"
    });
    ensure!(left, "no span of the request that left the site");
    ensure!(
        !all.spans.iter().any(|span| span.trace == LEFT_OUT),
        "a trace that its client did not want was sent"
    );

    let mut requests = all.points.iter().filter(|point| {
        point.name == "archipel_http_requests"
            && point.kind == "sum"
            && point.attributes.get("route").is_some_and(|route| route == "/v1/computes")
    });
    ensure!(
        requests.next_back().is_some_and(|point| point.value == 1.0),
        "no figure of one request to /v1/computes"
    );
    let is_timed = all.points.iter().any(|point| {
        point.name == "archipel_http_request_duration_seconds"
            && point.kind == "histogram"
            && point.value > 0.0
    });
    ensure!(is_timed, "no histogram of durations");
    let text = format!("{all:?}");
    for user in &site.users {
        ensure!(!text.contains(&user.password), "the password of {} left the site", user.name);
    }
    Ok(format!("{} spans, {} figures", all.spans.len(), all.points.len()))
}

//! What machines ask without a token: alive, ready, figures, and what there is to ask at all.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::metrics;
use crate::openapi::{Op, Routes};
use crate::problem::{Answer, Problem, table};
use crate::state::{ApiState, App};

/// Why the site is not ready; empty = it is.
type Reasons = Vec<String>;

/// The last look at the store: a probe writes and flushes, and anybody may ask.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Option<String>)>>);

/// A word on how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok` or `ready`.
    status: &'static str,
    /// The daemon's version.
    version: String,
}

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get("/healthz", Op::new("health", "Whether the daemon lives").answer::<Status>(200, "It does."), alive)
        .get(
            "/readyz",
            Op::new("ready", "Whether the site serves")
                .about("Users can be judged and the store can be written. A cloud that is away does not unready a site.")
                .answer::<Status>(200, "It does.")
                .problems(&[503]),
            ready,
        )
        .get(
            "/metrics",
            Op::new("metrics", "Figures").text(200, "OpenMetrics 1.0.", metrics::MEDIA_TYPE).problems(&[500]),
            figures,
        )
        .get("/openapi.json", Op::new("openapi", "This document").text(200, "OpenAPI 3.1.", "application/json"), openapi)
        .get("/docs", Op::new("docs", "This document, for people").text(200, "One page.", "text/html; charset=utf-8"), docs)
}

async fn alive(State(app): State<App>) -> Json<Status> {
    Json(Status { status: "ok", version: app.info.version.clone() })
}

async fn ready(State(app): State<App>) -> Answer<Json<Status>> {
    let reasons = reasons(&app).await;
    if reasons.is_empty() {
        return Ok(Json(Status { status: "ready", version: app.info.version.clone() }));
    }
    Err(Problem::new(table::UNAVAILABLE, reasons.join("; ")).member("reasons", reasons))
}

async fn reasons(app: &App) -> Reasons {
    let mut reasons = app.site.current().aaa_away.clone();
    reasons.extend(store_is_away(app).await);
    reasons
}

async fn store_is_away(app: &App) -> Option<String> {
    let mut last = app.readiness.0.lock().await;
    if let Some((at, answer)) = last.as_ref()
        && at.elapsed() < Duration::from_millis(app.limits.ready_cache_ms)
    {
        return answer.clone();
    }
    let answer =
        app.orders.store().probe().await.err().map(|error| format!("the store cannot be written: {error}"));
    *last = Some((Instant::now(), answer.clone()));
    answer
}

async fn figures(State(app): State<App>) -> Answer {
    let text = text(&app, reasons(&app).await.is_empty())
        .map_err(|error| Problem::internal(format!("figures could not be written: {error}")))?;
    Ok(typed(metrics::MEDIA_TYPE, text))
}

/// The text of `/metrics`.
pub(crate) fn text(state: &ApiState, is_ready: bool) -> Result<String, std::fmt::Error> {
    let time = state.clock.now();
    let publishers = state.publishers.list();
    state.metrics.text(&state.orders.figures(), &state.plugins.list(), (&publishers, time), is_ready)
}

async fn openapi(State(app): State<App>) -> Response {
    typed("application/json", app.openapi.clone())
}

async fn docs(State(app): State<App>) -> Response {
    let mut response = typed("text/html; charset=utf-8", app.docs.clone());
    let policy =
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn typed(media: &'static str, body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media))], body.into()).into_response()
}

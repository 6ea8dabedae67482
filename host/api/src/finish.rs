//! The outermost layer: gives a request its marks, bounds it, counts it, tells the audit how it ended, and writes every
//! failure as a problem document.
//!
//! A handler that panics and one that returns an internal error give the same answer: 500 with the request's id, which is
//! also on the log line that says why.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderValue, Method, header};
use tracing::Instrument;

use crate::audit::{self, Trail};
use crate::problem::{Problem, table};
use crate::request::{ClientAddress, Marks};
use crate::state::App;
use crate::trace;

/// Headers that every answer gets here.
const OURS: usize = 5;

/// Runs the rest of the way.
pub(crate) async fn finish(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let mut marks = Marks::read(request.headers(), request.extensions().get::<ClientAddress>());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_private = request.uri().path().starts_with("/v1");
    let span = marks.trace.begin(&method, route.as_deref(), request.uri().path(), &marks.id);
    request.extensions_mut().insert(marks.clone());
    let trail = Arc::new(Trail::new(&app, &method, route.as_deref(), request.uri()));
    request.extensions_mut().insert(Arc::clone(&trail));

    let mut response = run(&app, is_private, request, next).instrument(span.clone()).await;
    let problem = response.extensions_mut().remove::<Problem>();
    if is_private {
        let told = problem.as_ref().map(Problem::detail);
        audit::after(&app, &trail, &marks, response.status().as_u16(), told).await;
    }
    if let Some(problem) = problem {
        if let Some(cause) = problem.cause() {
            tracing::error!(request_id = %marks.id, %method, route, cause, "a request failed by a defect");
        }
        let document =
            if method == Method::HEAD { String::new() } else { problem.document(&marks.id).to_string() };
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(document);
    }
    let headers = response.headers_mut();
    headers.reserve(OURS);
    marks.write(headers);
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if is_private {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
        headers.entry(header::VARY).or_insert(HeaderValue::from_static("authorization"));
    }
    trace::end(&span, &response);
    app.metrics.count(&method, route.as_deref(), response.status(), begun.elapsed());
    tracing::debug!(
        request_id = %marks.id, traceparent = %marks.trace, %method, route, status = response.status().as_u16(),
        "answered"
    );
    response
}

async fn run(app: &App, is_private: bool, request: Request, next: Next) -> Response {
    let permit = if is_private { app.requests.try_acquire().map(Some) } else { Ok(None) };
    let Ok(_permit) = permit else {
        return Problem::new(
            table::TOO_MANY_REQUESTS,
            "the site works on as many requests as it may; come back in a second",
        )
        .into_response();
    };
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(app.limits.request_timeout(), work).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            Problem::internal(format!("a handler panicked: {}", words(panic.as_ref()))).into_response()
        }
        Err(_) => {
            Problem::new(table::UNAVAILABLE, "the request took longer than the site allows; ask again later")
                .into_response()
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

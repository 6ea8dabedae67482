//! REST, OpenAPI, problem+json, events: what people and programs speak to a site.
//!
//! A request passes, outermost first: [`finish`] (marks, bounds, counts, writes failures) → [`authenticate`] (who) →
//! routing → a handler in [`routes`], which parses ([`query`], [`body`], [`input`]), asks the policy ([`authorize`]), calls
//! `orders` or a plugin, and shows the answer ([`view`]). What it learns on the way is for the [`audit`].
//!
//! What always holds:
//! - Every failure is a problem document ([`problem`]) whose `type` stands in one table.
//! - Nothing that comes from outside causes a 500, or any 5xx but 503 for something that is away.
//! - Every method under `/v1` is authenticated before its path is looked at, and authorized before anything is done.
//! - The OpenAPI document is made of the same values that make the routes and the same types that are parsed and written.

mod audit;
mod authenticate;
mod authorize;
mod body;
mod cursor;
mod docs;
mod etag;
mod finish;
mod idempotency;
mod input;
mod limits;
mod metrics;
mod openapi;
mod page;
mod path;
mod prefer;
pub mod problem;
mod query;
mod request;
mod routes;
pub mod serve;
mod state;
mod trace;
mod view;
mod wait;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};

pub use audit::{Audit, AuditSettings};
pub use limits::ApiLimits;
pub use metrics::Metrics;
pub use request::ClientAddress;
pub use routes::admin::Backups;
pub use state::{ApiState, ReloadHook, Reloaded, SiteInfo};
pub use view::event::event_id;

use problem::{Problem, table};
use state::{App, Door, Shared};

/// The public door: every request under `/v1` brings a token.
pub fn router(state: ApiState) -> Router {
    door(state, Door::Public)
}

/// The text of `/metrics` (OpenMetrics 1.0) as it is now, for who does not ask over HTTP.
///
/// # Errors
/// When a figure cannot be written.
pub fn metrics_text(state: &ApiState) -> Result<String, std::fmt::Error> {
    routes::health::text(state, state.site.current().aaa_away.is_empty())
}

/// The same REST for the administrator's socket: every request is the built-in principal `local:admin`'s. Never put it on
/// anything but a socket that only root and the daemon's own user can open ([`serve::serve_unix`]).
pub fn admin_router(state: ApiState) -> Router {
    door(state, Door::Admin)
}

/// The OpenAPI 3.1 document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes::all().split().1
}

/// The same document as `/openapi.json` gives it.
pub fn openapi_json() -> serde_json::Value {
    openapi::to_json(&openapi())
}

/// The administrator's socket of a daemon that can copy its store.
pub fn admin_router_with(state: ApiState, backups: Arc<dyn Backups>) -> Router {
    admin_router(state).layer(Extension(backups))
}

fn door(state: ApiState, door: Door) -> Router {
    let (routes, api) = routes::all().split();
    let app: App = Shared::new(state, door, &api);
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(App::clone(&app), authenticate::authenticate))
        .layer(from_fn_with_state(App::clone(&app), finish::finish))
        .with_state(app)
}

async fn unknown_path(State(_): State<App>) -> Problem {
    Problem::not_found()
}

/// `Allow` is set by the router, which knows.
async fn wrong_method(request: Request) -> Problem {
    let method: String = request.method().as_str().chars().take(32).collect();
    Problem::new(
        table::METHOD_NOT_ALLOWED,
        format!("{method} is not a method of this path; Allow lists those that are"),
    )
}

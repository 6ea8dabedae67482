//! `/v1/admin/store/export`: everything durable as of one moment, streamed. Only at the administrator's socket: it holds
//! what every user ever wrote, which is more than managing a site needs to see.

use std::sync::Arc;

use archipel_model::Error;
use async_trait::async_trait;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::CONTENT_TYPE;

use crate::authenticate::Who;
use crate::authorize;
use crate::openapi::{Op, Routes};
use crate::problem::{Answer, Problem, table};
use crate::query;
use crate::state::App;

/// JSON Lines.
const JSON_LINES: &str = "application/x-ndjson";

/// Copies everything durable while the site serves. The daemon implements it.
#[async_trait]
pub trait Backups: Send + Sync {
    /// A copy as of now, in whole lines. A stream that ends with an error, or without its last line, is worthless.
    ///
    /// # Errors
    /// `transient` while another copy is being made, or where the store is away.
    async fn begin(&self) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error>;
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(
        "/v1/admin/store/export",
        Op::new("export-store", "Copy everything durable")
            .about(
                "Only at the administrator's socket. JSON Lines as of one moment, for `archipel store import`; an answer \
                 without the last line (`end`) was cut short. The site's keys are not in it.",
            )
            .text(200, "Everything.", JSON_LINES),
        export,
    )
}

async fn export(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    backups: Option<Extension<Arc<dyn Backups>>>,
) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let Some(Extension(backups)) = backups else {
        let text =
            "the whole store is copied only through the administrator's socket, on the site's own machine";
        return Err(Problem::new(table::FORBIDDEN, text));
    };
    super::log(&who, "export", "store");
    let lines = backups.begin().await?;
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(lines)).into_response())
}

//! `/v1/admin/publishers`: what sends the site's events somewhere else, and sends them again when told so.

use archipel_model::publisher::{PublisherStatus, ReplayFrom};
use archipel_model::{Error, Timestamp};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::Uri;

use crate::authenticate::Who;
use crate::authorize;
use crate::body::{self, OptionalBody};
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::path::InPath;
use crate::problem::{Answer, Problem};
use crate::query;
use crate::routes::events;
use crate::state::App;
use crate::view::publisher::{PublisherView, ReplayRequest};

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get(
            "/v1/admin/publishers",
            Op::new("list-publishers", "What sends events somewhere else")
                .answer::<List<PublisherView>>(200, "With where each stands."),
            all,
        )
        .get(
            "/v1/admin/publishers/{name}",
            Op::new("get-publisher", "One publisher").answer::<PublisherView>(200, "With where it stands."),
            one,
        )
        .post(
            "/v1/admin/publishers/{name}/actions/replay",
            Op::new("replay-publisher", "Send events again")
                .about(
                    "From a cursor of /v1/events, a time, `oldest`, or `now` to leave out what is not sent yet. What was sent \
                    before comes again, with the same event ids.",
                )
                .optional_body::<ReplayRequest>()
                .answer::<PublisherView>(200, "It sends from there, after a restart too.")
                .problems(&[400, 422]),
            replay,
        )
}

fn view(app: &App, who: &Who, status: PublisherStatus) -> PublisherView {
    let cursor = events::bound(app, who, None).after_event(status.position);
    PublisherView::of(status, cursor)
}

async fn all(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let all = app.publishers.list().into_iter().map(|status| view(&app, &who, status)).collect();
    Ok(List::<PublisherView>::whole(all).answer(&uri))
}

async fn one(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<PublisherView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let status = app.publishers.get(path.text("name")?).ok_or_else(Problem::not_found)?;
    Ok(Json(view(&app, &who, status)))
}

async fn replay(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    OptionalBody(bytes): OptionalBody,
) -> Answer<Json<PublisherView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let name = path.text("name")?;
    app.publishers.get(name).ok_or_else(Problem::not_found)?;
    let asked = bytes.map(|bytes| body::parse::<ReplayRequest>(&bytes)).transpose()?.unwrap_or_default();
    let from = match asked.from.as_deref() {
        None => ReplayFrom::Here,
        Some("oldest") => ReplayFrom::Oldest,
        Some("now") => ReplayFrom::Now,
        Some(text) if text.len() > 255 => {
            return Err(Error::invalid("from: longer than 255 characters").detail("field", "from").into());
        }
        Some(text) => match Timestamp::parse(text) {
            Some(at) => ReplayFrom::Time(at),
            None => ReplayFrom::After(events::bound(&app, &who, None).event(text)?),
        },
    };
    let user = &who.caller.user;
    tracing::info!(request_id = %who.info.request_id, issuer = %user.issuer, subject = %user.subject, publisher = name, ?from, "an administrator lets events be sent again");
    let status = app.publishers.replay(name, from).await?;
    Ok(Json(view(&app, &who, status)))
}

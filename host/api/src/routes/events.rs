//! `/v1/events` and `/v1/orders/{id}/events`: what happened, oldest first, as far as the caller's reach goes.

pub(crate) mod places;
mod stream;

use archipel_model::OrderId;
use archipel_model::plugin::Operation;
use archipel_orders::store::{EventQuery, Visible};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::authenticate::Who;
use crate::authorize;
use crate::cursor::Bound;
use crate::openapi::{Op, Routes, schemas};
use crate::page;
use crate::path::InPath;
use crate::problem::Answer;
use crate::query::{self, Query};
use crate::request::Stopping;
use crate::state::App;
use crate::view::event::{EventList, EventView};

pub(crate) fn routes(routes: Routes) -> Routes {
    let about = "From the oldest kept, or after `cursor`. `next` is null at the end; `resume` is the cursor for what comes later. \
        Events older than the site keeps are replaced by one `org.archipel.stream.reset.v1`. With `Accept: text/event-stream` \
        the same events come as server-sent events, from now on or after `Last-Event-ID`.";
    let op = |id, summary| {
        Op::new(id, summary)
            .about(about)
            .query(query::PAGE)
            .header("Last-Event-ID", "For a stream: the last `id:` that was seen.", schemas::text())
            .answer::<EventList>(200, "A page of CloudEvents; or a stream of them.")
            .also(200, STREAM)
    };
    routes.get("/v1/events", op("list-events", "What happened"), all).get(
        "/v1/orders/{id}/events",
        op("list-order-events", "What happened to one order"),
        of_order,
    )
}

/// The media type of a stream.
const STREAM: &str = "text/event-stream";

async fn all(
    State(app): State<App>,
    who: Who,
    RawQuery(raw): RawQuery,
    uri: Uri,
    headers: HeaderMap,
    stopping: Stopping,
) -> Answer {
    let query = Query::read(raw.as_deref(), query::PAGE)?;
    let granted = authorize::allow_cloud(&app, &who, Operation::List, "event", None).await?;
    let visible = authorize::visible(&who, &granted);
    Wanted { visible, subject: None, query, headers, stopping }.answer(&app, &who, &uri).await
}

async fn of_order(
    State(app): State<App>,
    who: Who,
    path: InPath,
    RawQuery(raw): RawQuery,
    uri: Uri,
    headers: HeaderMap,
    stopping: Stopping,
) -> Answer {
    let query = Query::read(raw.as_deref(), query::PAGE)?;
    let (order, _) = authorize::order(&app, &who, Operation::Read, path.order()?, None).await?;
    let wanted = Wanted { visible: Visible::Any, subject: Some(order.id), query, headers, stopping };
    wanted.answer(&app, &who, &uri).await
}

/// What is asked for, after the policy was.
struct Wanted {
    visible: Visible,
    subject: Option<OrderId>,
    query: Query,
    headers: HeaderMap,
    stopping: Stopping,
}

impl Wanted {
    async fn answer(self, app: &App, who: &Who, uri: &Uri) -> Answer {
        let mut response = if stream::is_asked(&self.headers) {
            self.stream(app, who)?
        } else {
            self.page(app, who, uri).await?
        };
        let varies = HeaderValue::from_static("authorization, accept");
        response.headers_mut().insert(header::VARY, varies);
        Ok(response)
    }

    fn stream(self, app: &App, who: &Who) -> Answer {
        let last = self.headers.get(stream::LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let cursor = last.or_else(|| self.query.cursor()).map(str::to_owned);
        let Self { visible, subject, stopping, .. } = self;
        let reader = stream::Reader { app: App::clone(app), who: who.clone(), visible, subject, stopping };
        reader.answer(cursor.as_deref())
    }

    async fn page(self, app: &App, who: &Who, uri: &Uri) -> Answer {
        let Self { visible, subject, query, .. } = self;
        let bound = bound(app, who, subject);
        let after = query.cursor().map(|cursor| bound.event(cursor)).transpose()?;
        let wanted = EventQuery { visible, subject, after, limit: query.limit(&app.limits)? };
        let found = app.orders.store().events(&wanted).await?;
        let site = &app.info.id;
        let was_reset = after.is_some_and(|after| after.saturating_add(1) < found.oldest);
        let reset = was_reset.then(|| EventView::reset(found.oldest, app.clock.now(), site, &app.keys));
        let items = reset
            .into_iter()
            .chain(found.items.iter().map(|event| EventView::of(event, site, &app.keys)))
            .collect();
        let resume = bound.after_event(found.next);
        let next = found.more.then(|| resume.clone());
        let link = next.as_deref().and_then(|next| page::link(uri, next));
        let mut response = Json(EventList { items, next, incomplete: Vec::new(), resume }).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// Cursors of one reader's view of the log.
pub(crate) fn bound<'a>(app: &'a App, who: &Who, subject: Option<OrderId>) -> Bound<'a> {
    let filters = subject.map(|id| id.to_string()).unwrap_or_default();
    Bound::new(&app.keys, "events-cursor", &who.caller.user.owner(), &filters)
}

//! `/v1/events` and `/v1/orders/{id}/events`: what happened, oldest first, as far as the caller's reach goes.

use archipel_model::OrderId;
use archipel_model::plugin::Operation;
use archipel_orders::store::{EventQuery, Visible};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{Uri, header};

use crate::authenticate::Who;
use crate::authorize;
use crate::cursor::Bound;
use crate::openapi::{Op, Routes};
use crate::page;
use crate::path::InPath;
use crate::problem::Answer;
use crate::query::{self, Query};
use crate::state::App;
use crate::view::event::{EventList, EventView};

pub(crate) fn routes(routes: Routes) -> Routes {
    let about = "From the oldest kept, or after `cursor`. `next` is null at the end; `resume` is the cursor for what comes later. \
        Events older than the site keeps are replaced by one `org.archipel.stream.reset.v1`.";
    let op = |id, summary| {
        Op::new(id, summary)
            .about(about)
            .query(query::PAGE)
            .answer::<EventList>(200, "A page of CloudEvents.")
    };
    routes.get("/v1/events", op("list-events", "What happened"), all).get(
        "/v1/orders/{id}/events",
        op("list-order-events", "What happened to one order"),
        of_order,
    )
}

async fn all(State(app): State<App>, who: Who, RawQuery(raw): RawQuery, uri: Uri) -> Answer {
    let query = Query::read(raw.as_deref(), query::PAGE)?;
    let granted = authorize::allow_cloud(&app, &who, Operation::List, "event", None).await?;
    answer(&app, &who, &query, authorize::visible(&who, &granted), None, &uri).await
}

async fn of_order(
    State(app): State<App>,
    who: Who,
    path: InPath,
    RawQuery(raw): RawQuery,
    uri: Uri,
) -> Answer {
    let query = Query::read(raw.as_deref(), query::PAGE)?;
    let (order, _) = authorize::order(&app, &who, Operation::Read, path.order()?, None).await?;
    answer(&app, &who, &query, Visible::Any, Some(order.id), &uri).await
}

async fn answer(
    app: &App,
    who: &Who,
    query: &Query,
    visible: Visible,
    subject: Option<OrderId>,
    uri: &Uri,
) -> Answer<Response> {
    let filters = subject.map(|id| id.to_string()).unwrap_or_default();
    let bound = Bound::new(&app.keys, "events-cursor", &who.caller.user.owner(), &filters);
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

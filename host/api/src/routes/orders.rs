//! What can be done with orders, whichever path names them.

use archipel_identity::Granted;
use archipel_model::OrderId;
use archipel_model::order::{Kind, Order, State as OrderState};
use archipel_model::plugin::{Operation, Resource};
use archipel_model::spec::CreateOrder;
use archipel_orders::store::{OrderQuery, StoredAnswer, Visible};
use archipel_orders::{Created, Deletion, Requester, WaitFor, amounts};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::authenticate::Who;
use crate::authorize;
use crate::body::{self, JsonBody, PatchBody};
use crate::cursor::Bound;
use crate::etag::{self, Condition};
use crate::idempotency::{self, Entered};
use crate::input::create::Create;
use crate::input::patch::PatchOrder;
use crate::page::List;
use crate::path::InPath;
use crate::prefer;
use crate::problem::{Answer, Problem, table};
use crate::query::{self, Param, Query};
use crate::routes::clouds::requester;
use crate::state::App;
use crate::view::order::{self, DryRun};
use crate::wait;

/// POST of a collection.
pub(crate) async fn create<T: Create>(
    State(app): State<App>,
    who: Who,
    uri: Uri,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    JsonBody(bytes): JsonBody,
) -> Answer {
    query::none(raw.as_deref())?;
    // Not JSON at all is never kept under a key: it is no request yet.
    let parsed = match body::parse::<T>(&bytes).map(Create::into_order) {
        Err(problem) if problem.row() == table::BAD_JSON => return Err(problem),
        parsed => parsed,
    };
    let permitted = match parsed {
        Ok(request) => Ok((permit(&app, &who, &request).await?, request)),
        Err(problem) => Err(problem),
    };
    let keyed = match idempotency::enter(&app, &who, uri.path(), &headers, &bytes).await? {
        Entered::Replay(answer) => return Ok(answer),
        Entered::Begin(keyed) => Some(keyed),
        Entered::Unkeyed => None,
    };
    let done = match permitted {
        Ok(((who, granted), request)) => {
            let render = |order: &Order| created(order, &granted.redact);
            let key = keyed.as_ref().map(idempotency::Keyed::request);
            let requester =
                Requester { audit: who.trail.of_new_order(&app, &who), ..requester(&who, &granted) };
            let done = app.orders.create(&requester, request, key, &render).await;
            done.map(|done| (done, who, granted)).map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match (done, &keyed) {
        (Ok((Created::Replayed(answer), ..)), _) => Ok(idempotency::replay(&answer)),
        (Ok((Created::New(order), who, granted)), _) => {
            drop(keyed);
            let Some(most) = prefer::wait(&headers, app.limits.wait_max_s) else {
                return Ok(idempotency::response(&created(&order, &granted.redact)));
            };
            let (order, waited) = wait::until(&app, &who, order, WaitFor::Settled, most).await?;
            let mut response = idempotency::response(&created(&order, &granted.redact));
            if waited {
                response.headers_mut().insert(prefer::APPLIED, prefer::applied(most));
            }
            Ok(response)
        }
        (Err(problem), Some(keyed)) => Err(keyed.refuse(&app, &who, problem).await),
        (Err(problem), None) => Err(problem),
    }
}

/// The caller as he acts for this order, and what the policy grants him for it.
pub(crate) async fn permit(app: &App, who: &Who, request: &CreateOrder) -> Answer<(Who, Granted)> {
    let who = who.acting_for(request.group.as_deref())?;
    let resource = create_resource(app, &who, request).await?;
    let granted = authorize::allow(app, &who, Operation::Create, &resource).await?;
    Ok((who, granted))
}

/// What is to be made, as the policy is asked about it.
pub(crate) async fn create_resource(app: &App, who: &Who, request: &CreateOrder) -> Answer<Resource> {
    let clouds = &who.caller.generation.clouds;
    let only = || clouds.keys().next().filter(|_| clouds.len() == 1).map(ToString::to_string);
    let owner = who.caller.user.owner();
    let group = who.caller.group.clone();
    let store = app.orders.store();
    let group_usage = match &group {
        Some(group) => Some(store.usage(&amounts::group_counter(group)).await?),
        None => None,
    };
    Ok(Resource {
        // `NAME@SITE` is the same cloud as `NAME`, so the policy is asked about the same.
        cloud: request
            .cloud
            .as_deref()
            .and_then(|cloud| cloud.split('@').next())
            .map(str::to_owned)
            .or_else(only),
        owner_usage: Some(store.usage(&amounts::user_counter(&owner)).await?),
        owner: Some(owner),
        group,
        group_usage,
        labels: request.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        spec: Some(request.spec.to_json()?),
        ..authorize::resource(app, request.spec.kind().as_str())
    })
}

/// The answer to a create; the same when it is given again.
fn created(order: &Order, redact: &[String]) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![
            ("content-type".into(), body::JSON.into()),
            ("location".into(), order::href(order)),
            ("etag".into(), etag::tag(order.version)),
        ],
        body: order::body(order, redact),
    }
}

/// An order as the answer.
pub(crate) fn shown(status: StatusCode, order: &Order, granted: &Granted) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(body::JSON)),
        (header::ETAG, etag::value(order.version)),
    ];
    (status, headers, order::body(order, &granted.redact)).into_response()
}

/// GET of a collection.
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    RawQuery(raw): RawQuery,
    uri: Uri,
    kind: Option<Kind>,
) -> Answer {
    let query =
        Query::read(raw.as_deref(), if kind.is_some() { query::ORDERS_OF_KIND } else { query::ORDERS })?;
    let kind = match kind {
        Some(kind) => Some(kind),
        None => query.kind()?,
    };
    let own = Visible::Own(who.caller.user.owner());
    let mut wanted = OrderQuery {
        kind,
        states: query.states()?,
        cloud: query.cloud()?,
        site: query.site()?,
        labels: query.labels()?,
        unreachable: query.flag(Param::Unreachable)?,
        ..OrderQuery::of(own, query.limit(&app.limits)?)
    };
    let filters = format!(
        "{:?} {wanted:?}",
        uri.path().trim_end_matches('/'),
        wanted =
            (&wanted.kind, &wanted.states, &wanted.cloud, &wanted.site, &wanted.labels, &wanted.unreachable,)
    );
    let bound = Bound::new(&app.keys, "orders-cursor", &who.caller.user.owner(), &filters);
    wanted.after = query.cursor().map(|cursor| bound.order(cursor)).transpose()?;
    let cloud = wanted.cloud.as_ref().map(ToString::to_string);
    let asked = kind.map_or("order", Kind::as_str);
    let granted = authorize::allow_cloud(&app, &who, Operation::List, asked, cloud.as_deref()).await?;
    wanted.visible = authorize::visible(&who, &granted);
    let page = app.orders.list(&wanted).await?;
    let items = page.items.iter().map(|order| order::json(order, &granted.redact)).collect();
    Ok(List::page(items, page.next.map(|id| bound.after_order(id))).answer(&uri))
}

/// GET of one order.
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    path: InPath,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    kind: Option<Kind>,
) -> Answer {
    let query = Query::read(raw.as_deref(), query::ONE)?;
    let is_refreshed = query.flag(Param::Refresh)?.unwrap_or(false);
    let condition = Condition::if_none_match(&headers)?;
    let (mut order, granted) = authorize::order(&app, &who, Operation::Read, path.order()?, kind).await?;
    if is_refreshed {
        order = app.orders.refresh(order.id).await?;
    }
    let mut waited = None;
    if let Some(most) = prefer::wait(&headers, app.limits.wait_max_s) {
        let until = match &condition {
            Some(known) if known.holds(order.version) => Some(WaitFor::ChangedSince(order.version)),
            Some(_) => None,
            None => Some(WaitFor::Settled),
        };
        if let Some(until) = until {
            let done;
            (order, done) = wait::until(&app, &who, order, until, most).await?;
            waited = done.then_some(most);
        }
    }
    let mut response = if condition.is_some_and(|known| known.holds(order.version)) {
        (StatusCode::NOT_MODIFIED, [(header::ETAG, etag::value(order.version))]).into_response()
    } else {
        shown(StatusCode::OK, &order, &granted)
    };
    if let Some(most) = waited {
        response.headers_mut().insert(prefer::APPLIED, prefer::applied(most));
    }
    Ok(response)
}

/// PATCH of one order.
pub(crate) async fn patch(
    State(app): State<App>,
    who: Who,
    path: InPath,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    PatchBody(bytes): PatchBody,
    kind: Option<Kind>,
) -> Answer {
    query::none(raw.as_deref())?;
    let asked: PatchOrder = body::parse(&bytes)?;
    let condition = Condition::if_match(&headers)?;
    let (order, granted) = authorize::order(&app, &who, Operation::Update, path.order()?, kind).await?;
    let version = etag::bound_version(condition.as_ref(), order.version)?;
    let patched = app.orders.patch(order.id, version, asked.of(&order, granted.max_lease_s)).await?;
    Ok(shown(StatusCode::OK, &patched, &granted))
}

/// DELETE of one order.
pub(crate) async fn delete(
    State(app): State<App>,
    who: Who,
    path: InPath,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    kind: Option<Kind>,
) -> Answer {
    let query = Query::read(raw.as_deref(), query::DELETE)?;
    let cascades = query.flag(Param::Cascade)?.unwrap_or(false);
    let is_dry = query.flag(Param::DryRun)?.unwrap_or(false);
    let condition = Condition::if_match(&headers)?;
    let (id, names_a_version) = (path.order()?, matches!(condition, Some(Condition::Tags(_))));
    for _ in 1..STALE_TRIES {
        match delete_now(&app, &who, id, kind, cascades, is_dry, condition.as_ref()).await {
            // Changed between the look and the delete: only who named a version needs to know.
            Err(problem) if problem.row() == table::PRECONDITION_FAILED && !names_a_version => {}
            answer => return answer,
        }
    }
    delete_now(&app, &who, id, kind, cascades, is_dry, condition.as_ref()).await
}

/// How often a delete that names no version is tried while the order changes underneath.
const STALE_TRIES: usize = 16;

async fn delete_now(
    app: &App,
    who: &Who,
    id: OrderId,
    kind: Option<Kind>,
    cascades: bool,
    is_dry: bool,
    condition: Option<&Condition>,
) -> Answer {
    let (order, granted) = authorize::order(app, who, Operation::Delete, id, kind).await?;
    let mut version = etag::bound_version(condition, order.version)?;
    if order.state == OrderState::Closed {
        let nothing = DryRun { dry_run: true, orders: Vec::new() };
        return Ok(if is_dry {
            Json(nothing).into_response()
        } else {
            StatusCode::NO_CONTENT.into_response()
        });
    }
    if is_dry || cascades {
        if order.kind == Kind::Network && condition.is_none() && !is_dry {
            let detail =
                "a network's cascade deletes what many rest on; send If-Match with the ETag of what you saw";
            return Err(Problem::new(table::PRECONDITION_REQUIRED, detail));
        }
        let tree = tree(app, who, &order).await?;
        if is_dry {
            return Ok(Json(DryRun { dry_run: true, orders: tree }).into_response());
        }
        // The engine asks for a version before a network's cascade; `*` means the one that stands.
        version = version.or(Some(order.version)).filter(|_| condition.is_some());
    }
    match app.orders.delete(order.id, version, cascades, false).await? {
        Deletion::Closing(order) => Ok(shown(StatusCode::ACCEPTED, &order, &granted)),
        Deletion::Closed => Ok(StatusCode::NO_CONTENT.into_response()),
        Deletion::DryRun(orders) => Ok(Json(DryRun { dry_run: true, orders }).into_response()),
    }
}

/// What a cascade would delete, if the caller may delete all of it.
async fn tree(app: &App, who: &Who, order: &Order) -> Answer<Vec<OrderId>> {
    let Deletion::DryRun(ids) = app.orders.delete(order.id, Some(order.version), true, true).await? else {
        return Ok(vec![order.id]);
    };
    let mut others = Vec::new();
    for id in ids.iter().copied().filter(|id| *id != order.id) {
        others.push(app.orders.get(&Visible::Any, id, None).await?);
    }
    if !authorize::may_delete_all(app, who, &others).await? {
        return Err(Problem::new(table::FORBIDDEN, "orders that you may not delete rest on it"));
    }
    Ok(ids)
}

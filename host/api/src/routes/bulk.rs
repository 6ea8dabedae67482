//! POST `/v1/orders`: many creates at once. Items stand alone; the whole has one Idempotency-Key.
//!
//! The ids of all orders are written under the key before the first is made, so that a repetition after a crash meets the
//! orders of the first try instead of making new ones; the answer is written after the last.

use std::collections::BTreeMap;

use archipel_identity::Granted;
use archipel_model::order::Order;
use archipel_model::plugin::{Operation, Resource};
use archipel_model::spec::CreateOrder;
use archipel_model::{Error, OrderId};
use archipel_orders::Requester;
use archipel_orders::store::StoredAnswer;
use axum::extract::{RawQuery, State};
use http::{HeaderMap, Uri};

use crate::authenticate::Who;
use crate::body::{self, JsonBody};
use crate::idempotency::{self, Entered};
use crate::input::bulk::{self, BulkCreate};
use crate::openapi::{Op, Routes};
use crate::problem::{Answer, Problem, table};
use crate::query;
use crate::routes::clouds::requester;
use crate::routes::orders::create_resource;
use crate::state::App;
use crate::view::order::{self, BulkResult, BulkResults};

pub(crate) fn routes(routes: Routes) -> Routes {
    routes.post(
        "/v1/orders",
        Op::new("create-orders", "Order many")
            .about("Items stand alone and may refer to earlier ones as `$N`. The answer is 200 with one result for each.")
            .keyed()
            .body::<BulkCreate>()
            .answer::<BulkResults>(200, "One result for each item, in order."),
        create,
    )
}

/// One item on its way: what was asked, or what is wrong with it.
type Item = Result<CreateOrder, Problem>;

async fn create(
    State(app): State<App>,
    who: Who,
    uri: Uri,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    JsonBody(bytes): JsonBody,
) -> Answer {
    query::none(raw.as_deref())?;
    let items = match read(&app, &bytes) {
        Err(problem) if problem.row().status == 400 => return Err(problem),
        Ok(values) => Ok(permit(&app, &who, values).await?),
        Err(problem) => Err(problem),
    };
    let mut keyed = match idempotency::enter(&app, &who, uri.path(), &headers, &bytes).await? {
        Entered::Replay(answer) => return Ok(answer),
        Entered::Begin(keyed) => Some(keyed),
        Entered::Unkeyed => None,
    };
    let (items, granted) = match (items, &keyed) {
        (Ok(permitted), _) => permitted,
        (Err(problem), Some(keyed)) => return Err(keyed.refuse(&app, &who, problem).await),
        (Err(problem), None) => return Err(problem),
    };
    let ids = match &mut keyed {
        Some(keyed) => keyed.reserve(&app, items.len()).await?,
        None => items.iter().map(|_| OrderId::generate()).collect(),
    };
    let (answer, is_final) = accept(&app, &who, items, &granted, &ids).await;
    // Where an item is to come back later, a repetition completes the rest under the reserved ids.
    if let Some(keyed) = keyed.filter(|_| is_final) {
        keyed.keep(&app, answer.clone()).await?;
    }
    Ok(idempotency::response(&answer))
}

/// The items, each parsed by itself.
fn read(app: &App, bytes: &[u8]) -> Answer<Vec<Answer<CreateOrder>>> {
    let asked: BulkCreate = body::parse(bytes)?;
    if !(1..=app.limits.bulk_items).contains(&asked.orders.len()) {
        let detail = format!("orders: not between 1 and {} items", app.limits.bulk_items);
        return Err(Problem::new(table::INVALID, detail).member("field", "orders"));
    }
    Ok(asked.orders.into_iter().enumerate().map(|(at, value)| bulk::item(value, at)).collect())
}

/// Asks the policy about all items, in one go for each group that they act for. What it grants for the whole is the
/// narrowest of what it grants for each.
async fn permit(app: &App, who: &Who, values: Vec<Answer<CreateOrder>>) -> Answer<(Vec<Item>, Granted)> {
    let mut items: Vec<Item> = Vec::with_capacity(values.len());
    let mut questions: BTreeMap<Option<String>, (Who, Vec<usize>, Vec<Resource>)> = BTreeMap::new();
    for (at, value) in values.into_iter().enumerate() {
        let acting = value.and_then(|request| Ok((who.acting_for(request.group.as_deref())?, request)));
        items.push(match acting {
            Err(problem) => Err(problem),
            Ok((acting, request)) => {
                let resource = create_resource(app, &acting, &request).await?;
                let (_, places, resources) = questions
                    .entry(acting.caller.group.clone())
                    .or_insert_with(|| (acting, Vec::new(), Vec::new()));
                places.push(at);
                resources.push(resource);
                Ok(request)
            }
        });
    }
    let mut whole: Option<Granted> = None;
    for (acting, places, resources) in questions.into_values() {
        let answers =
            app.identity.authorize_many(&acting.caller, Operation::Create, &resources, &acting.info).await?;
        acting.trail.decided_many(&acting.caller, &resources, &answers);
        for (at, answer) in places.into_iter().zip(answers) {
            let Some(item) = items.get_mut(at) else { continue };
            match (answer, &mut *item) {
                (Ok(granted), Ok(request)) => {
                    // The order's own labels cannot undo what the policy puts on it.
                    request.labels.extend(granted.add_labels.clone());
                    whole = Some(match whole {
                        Some(known) => narrowest(known, &granted),
                        None => granted,
                    });
                }
                (Err(error), _) => *item = Err(error.into()),
                (Ok(_), Err(_)) => {}
            }
        }
    }
    Ok((items, whole.unwrap_or_default()))
}

fn narrowest(one: Granted, other: &Granted) -> Granted {
    let max_lease_s = match (one.max_lease_s, other.max_lease_s) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let redact = one.redact.iter().chain(&other.redact).cloned().collect();
    Granted { reach: one.reach.min(other.reach), max_lease_s, redact, ..Granted::default() }
}

/// The answer, and whether a repetition would get the same.
async fn accept(
    app: &App,
    who: &Who,
    items: Vec<Item>,
    granted: &Granted,
    ids: &[OrderId],
) -> (StoredAnswer, bool) {
    let who_asks = Requester { audit: who.trail.of_new_order(app, who), ..requester(who, granted) };
    let mut problems: Vec<Option<Problem>> = Vec::with_capacity(items.len());
    let mut requests: Vec<Result<CreateOrder, Error>> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(request) => {
                problems.push(None);
                requests.push(Ok(request));
            }
            Err(problem) => {
                requests.push(Err(Error::invalid(problem.detail())));
                problems.push(Some(problem));
            }
        }
    }
    let done = app.orders.bulk(&who_asks, requests, ids).await;
    let results = done.into_iter().zip(problems).map(|(done, problem)| match (problem, done) {
        (Some(problem), _) => refused(&problem, who),
        (None, Ok(order)) => accepted(&order, granted),
        (None, Err(error)) => refused(&error.into(), who),
    });
    let results = BulkResults { results: results.collect() };
    let is_final = results.results.iter().all(|result| !matches!(result.status, 429 | 503));
    let answer = StoredAnswer {
        status: 200,
        headers: vec![("content-type".into(), body::JSON.into())],
        body: serde_json::to_string(&results).unwrap_or_default(),
    };
    (answer, is_final)
}

fn accepted(order: &Order, granted: &Granted) -> BulkResult {
    BulkResult { status: 201, order: Some(order::json(order, &granted.redact)), problem: None }
}

fn refused(problem: &Problem, who: &Who) -> BulkResult {
    if let Some(cause) = problem.cause() {
        tracing::error!(request_id = %who.info.request_id, cause, "an item of a bulk request failed by a defect");
    }
    BulkResult {
        status: problem.row().status,
        order: None,
        problem: Some(problem.document(&who.info.request_id)),
    }
}

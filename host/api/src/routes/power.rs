//! `/v1/computes/{id}/actions/{pause,resume,stop,start,reboot,hibernate}`: power actions. Accepted is durable; the cloud is
//! asked afterwards, and the order's state, or its fault, says what came of it.

use archipel_model::order::{Kind, Order};
use archipel_model::plugin::Operation;
use archipel_model::power::PowerAction;
use archipel_orders::WaitFor;
use archipel_orders::store::StoredAnswer;
use axum::extract::{RawQuery, State};
use http::{HeaderMap, StatusCode, Uri};

use crate::authenticate::Who;
use crate::authorize;
use crate::body;
use crate::etag::{self, Condition};
use crate::idempotency::{self, Entered};
use crate::openapi::{Op, Routes};
use crate::path::InPath;
use crate::prefer;
use crate::problem::Answer;
use crate::query;
use crate::routes::orders::shown;
use crate::state::App;
use crate::view::order::{self, OrderView};
use crate::wait;

/// How an action is described: its path, its operation's id, what it does.
const fn described(action: PowerAction) -> (&'static str, &'static str, &'static str) {
    match action {
        PowerAction::Pause => {
            ("/v1/computes/{id}/actions/pause", "pause-compute", "Freeze it in memory: fulfilled to paused")
        }
        PowerAction::Resume => (
            "/v1/computes/{id}/actions/resume",
            "resume-compute",
            "Wake it from memory or disk: paused or hibernated to fulfilled",
        ),
        PowerAction::Stop => {
            ("/v1/computes/{id}/actions/stop", "stop-compute", "Shut it down: fulfilled to stopped")
        }
        PowerAction::Start => {
            ("/v1/computes/{id}/actions/start", "start-compute", "Start it again: stopped to fulfilled")
        }
        PowerAction::Reboot => (
            "/v1/computes/{id}/actions/reboot",
            "reboot-compute",
            "Shut it down and start it: stays fulfilled, `power` is set meanwhile",
        ),
        PowerAction::Hibernate => (
            "/v1/computes/{id}/actions/hibernate",
            "hibernate-compute",
            "Save it to disk: fulfilled to hibernated",
        ),
    }
}

pub(crate) fn routes(routes: Routes) -> Routes {
    PowerAction::ALL.iter().fold(routes, |routes, action| {
        let (path, id, summary) = described(*action);
        let op = Op::new(id, summary)
            .about("202 once it is durable. 409 in a state that does not allow it, with `allowed_in`; 422 where the cloud has no such action. An action that the cloud refuses, or does not end, leaves the order as it was, with a fault.")
            .keyed()
            .if_match()
            .waits()
            .answer::<OrderView<'_>>(202, "Asked for; also where the same action is under way already.");
        routes.post(path, op, move |app, who, uri, path, raw, headers| {
            act(app, who, uri, path, raw, headers, *action)
        })
    })
}

async fn act(
    State(app): State<App>,
    who: Who,
    uri: Uri,
    path: InPath,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    action: PowerAction,
) -> Answer {
    query::none(raw.as_deref())?;
    let condition = Condition::if_match(&headers)?;
    let (order, granted) =
        authorize::order(&app, &who, Operation::Act, path.order()?, Some(Kind::Compute)).await?;
    let keyed = match idempotency::enter(&app, &who, uri.path(), &headers, &[]).await? {
        Entered::Replay(answer) => return Ok(answer),
        Entered::Begin(keyed) => Some(keyed),
        Entered::Unkeyed => None,
    };
    let version = etag::bound_version(condition.as_ref(), order.version)?;
    let asked = match (app.orders.act(order.id, version, action).await, &keyed) {
        (Ok(asked), Some(keyed)) => {
            keyed.keep(&app, accepted(&asked, &granted.redact)).await?;
            asked
        }
        (Ok(asked), None) => asked,
        (Err(error), Some(keyed)) => return Err(keyed.refuse(&app, &who, error.into()).await),
        (Err(error), None) => return Err(error.into()),
    };
    drop(keyed);
    let Some(most) = prefer::wait(&headers, app.limits.wait_max_s) else {
        return Ok(shown(StatusCode::ACCEPTED, &asked, &granted));
    };
    let (order, waited) = wait::until(&app, &who, asked, WaitFor::Settled, most).await?;
    let mut response = shown(StatusCode::ACCEPTED, &order, &granted);
    if waited {
        response.headers_mut().insert(prefer::APPLIED, prefer::applied(most));
    }
    Ok(response)
}

/// The answer as it is kept under a key.
fn accepted(order: &Order, redact: &[String]) -> StoredAnswer {
    StoredAnswer {
        status: StatusCode::ACCEPTED.as_u16(),
        headers: vec![("content-type".into(), body::JSON.into()), ("etag".into(), etag::tag(order.version))],
        body: order::body(order, redact),
    }
}

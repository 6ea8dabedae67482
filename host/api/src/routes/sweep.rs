//! `/v1/admin/sweep`: what the clouds hold that no order has.

use archipel_model::Error;
use axum::Json;
use axum::extract::{RawQuery, State};
use http::StatusCode;

use crate::authenticate::Who;
use crate::authorize;
use crate::body::{self, JsonBody, OptionalBody};
use crate::openapi::{Op, Routes};
use crate::problem::Answer;
use crate::query;
use crate::routes::admin::log;
use crate::state::App;
use crate::view::sweep::{ConfirmRequest, SweepRequest, SweepView};

/// Characters of a reason.
const REASON: usize = 1024;

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get(
            "/v1/admin/sweep",
            Op::new("get-sweep", "What the clouds hold that no order has").answer::<SweepView>(
                200,
                "The last sweep of each cloud since the daemon started, and whether sweeps may delete in this store.",
            ),
            report,
        )
        .post(
            "/v1/admin/sweep/actions/run",
            Op::new("run-sweep", "Sweep now")
                .about(
                    "Lists what every account of the cloud holds under this site's tag, and looks at what no order has once \
                     more after the driver's settle time. The report says when it is done.",
                )
                .optional_body::<SweepRequest>()
                .answer::<SweepView>(202, "It begins."),
            run,
        )
        .post(
            "/v1/admin/sweep/actions/confirm",
            Op::new("confirm-store", "Let sweeps delete in a restored store")
                .about(
                    "A restored store does not know what was ordered after its copy was made, so sweeps delete nothing in it \
                     until somebody has looked at what they found and says that it is nobody's. Durable; 409 for another \
                     incarnation than the present one.",
                )
                .body::<ConfirmRequest>()
                .answer::<SweepView>(200, "It is confirmed.")
                .problems(&[409]),
            confirm,
        )
}

async fn report(State(app): State<App>, RawQuery(raw): RawQuery, who: Who) -> Answer<Json<SweepView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    Ok(Json(app.orders.sweep_report().await?.into()))
}

async fn run(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    OptionalBody(bytes): OptionalBody,
) -> Answer<(StatusCode, Json<SweepView>)> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let asked = bytes.map(|bytes| body::parse::<SweepRequest>(&bytes)).transpose()?.unwrap_or_default();
    app.orders.ask_for_sweep(asked.cloud.as_deref())?;
    log(&who, "sweep", asked.cloud.as_deref().unwrap_or("all clouds"));
    Ok((StatusCode::ACCEPTED, Json(app.orders.sweep_report().await?.into())))
}

async fn confirm(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    JsonBody(bytes): JsonBody,
) -> Answer<Json<SweepView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let asked: ConfirmRequest = body::parse(&bytes)?;
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON {
        let message = format!("reason: say why, in 1 to {REASON} characters: it is kept in the log");
        return Err(Error::invalid(message).detail("field", "reason").into());
    }
    app.orders.confirm_store(asked.incarnation).await?;
    log(&who, "confirm-store", &format!("{}: {reason}", asked.incarnation));
    Ok(Json(app.orders.sweep_report().await?.into()))
}

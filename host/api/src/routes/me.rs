//! `/v1/me`: the federation user as the site sees it.

use archipel_model::plugin::Operation;
use axum::Json;
use axum::extract::{RawQuery, State};

use crate::authenticate::Who;
use crate::authorize;
use crate::openapi::{Op, Routes};
use crate::problem::Answer;
use crate::query;
use crate::state::App;
use crate::view::user::Me;

pub(crate) fn routes(routes: Routes) -> Routes {
    routes.get(
        "/v1/me",
        Op::new("get-me", "Who the caller is").answer::<Me>(200, "As the site's plugins say."),
        me,
    )
}

async fn me(State(app): State<App>, RawQuery(raw): RawQuery, who: Who) -> Answer<Json<Me>> {
    query::none(raw.as_deref())?;
    authorize::allow_own(&app, &who, Operation::Read, "session").await?;
    Ok(Json(Me::of(&who.caller)))
}

//! `/v1/tokens`: how one comes by a token, and gives it back.

use std::sync::Arc;

use archipel_identity::Login;
use archipel_model::SessionId;
use axum::Json;
use axum::extract::{FromRequest, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};

use crate::audit::{self, Trail};
use crate::authenticate::Who;
use crate::authorize;
use crate::body::{self, JsonBody};
use crate::input::login::LoginRequest;
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::problem::{Answer, Problem, table};
use crate::query;
use crate::request::Marks;
use crate::state::App;
use crate::view::user::{Binding, ChallengeView, Challenged, FieldView, Issued, SessionView, UserView};

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get(
            "/v1/tokens",
            Op::new("list-bindings", "Ways to log in, and what each asks for").answer::<List<Binding>>(200, "Needs no token."),
            bindings,
        )
        .post(
            "/v1/tokens",
            Op::new("create-token", "Log in")
                .about("Give the fields that GET lists. A 202 asks further: POST again with its `binding`, its `state` and the fields it names.")
                .body::<LoginRequest>()
                .answer::<Issued>(201, "A token; it is shown only now.")
                .answer::<Challenged>(202, "A further question.")
                .problems(&[403]),
            login,
        )
        .delete(
            "/v1/tokens/current",
            Op::new("revoke-token", "Log out").empty(204, "The token and all made from it are refused from now on.").problems(&[422]),
            revoke,
        )
        .get(
            "/v1/sessions",
            Op::new("list-sessions", "The caller's own sessions").answer::<List<SessionView>>(200, "Newest first."),
            sessions,
        )
}

async fn bindings(State(app): State<App>, RawQuery(raw): RawQuery, uri: Uri) -> Answer {
    query::none(raw.as_deref())?;
    let bindings = app.identity.bindings().await;
    Ok(List::whole(bindings.iter().map(Binding::of).collect()).answer(&uri))
}

async fn login(State(app): State<App>, RawQuery(raw): RawQuery, request: Request) -> Answer {
    query::none(raw.as_deref())?;
    let Ok(_place) = app.logins.try_acquire() else {
        return Err(Problem::new(
            table::TOO_MANY_REQUESTS,
            "too many logins at a time; come back in a second",
        ));
    };
    let extensions = request.extensions();
    let (Some(marks), Some(trail)) = (extensions.get::<Marks>(), extensions.get::<Arc<Trail>>()) else {
        return Err(Problem::internal("a request came without marks"));
    };
    let (marks, trail) = (marks.clone(), Arc::clone(trail));
    let info = marks.info();
    let JsonBody(bytes) = JsonBody::from_request(request, &app).await?;
    let mut asked: LoginRequest = body::parse(&bytes)?;
    let credentials = asked.take_credentials();
    let answer =
        app.identity.login(asked.binding.as_deref(), credentials, asked.state.as_deref(), &info).await;
    let mut response = match answer.inspect_err(|error| trail.login_refused(error))? {
        Login::Issued { token, expires_at, user } => {
            audit::logged_in(&app, &trail, &marks, &user).await?;
            let issued = Issued { token, expires_at, user: UserView::of(&user) };
            let location = [(header::LOCATION, HeaderValue::from_static("/v1/tokens/current"))];
            (StatusCode::CREATED, location, Json(issued)).into_response()
        }
        Login::Challenge { binding, prompt, fields, uri, interval_s, state, expires_at } => {
            let fields = fields.iter().map(FieldView::of).collect();
            let challenge = ChallengeView { binding, prompt, fields, uri, interval_s, state, expires_at };
            (StatusCode::ACCEPTED, Json(Challenged { challenge })).into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn revoke(State(app): State<App>, RawQuery(raw): RawQuery, who: Who) -> Answer<StatusCode> {
    query::none(raw.as_deref())?;
    audit::before_own(&app, &who, "session").await?;
    app.identity.revoke_current(&who.caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sessions(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_own(&app, &who, archipel_model::plugin::Operation::List, "session").await?;
    let current: Option<SessionId> = who.caller.session;
    let sessions = app.identity.sessions(&who.caller).await?;
    Ok(List::whole(sessions.iter().map(|session| SessionView::of(session, current)).collect()).answer(&uri))
}

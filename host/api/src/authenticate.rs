//! Who asks. Runs before routing decides anything, so that without a token an unknown path under `/v1` looks like a
//! known one.

use std::sync::Arc;

use archipel_identity::{Caller, RequestInfo};
use archipel_model::{ErrorKind, SecretBytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::audit::Trail;
use crate::problem::{Answer, Problem, table};
use crate::request::Marks;
use crate::state::{App, Door};

/// Names the identity binding that an opaque token of someone else's is for.
pub(crate) const BINDING: HeaderName = HeaderName::from_static("archipel-identity");

/// Names the group that the caller acts for, where he has several.
pub(crate) const GROUP: HeaderName = HeaderName::from_static("archipel-group");

/// On the administrator's socket: asks as a service principal instead, `monitor`, whom the policy judges.
pub(crate) const PRINCIPAL: HeaderName = HeaderName::from_static("archipel-principal");

/// Longest token that is looked at: a site token has some 300 bytes, a JWT a few thousand.
const TOKEN_BYTES: usize = 16 * 1024;

/// Who asks, as a handler gets it.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) caller: Arc<Caller>,
    pub(crate) info: RequestInfo,
    /// For the audit.
    pub(crate) trail: Arc<Trail>,
    bearer: Option<(SecretBytes, Option<String>)>,
}

impl Who {
    /// The same caller acting for one of his groups; `None` keeps the default.
    pub(crate) fn acting_for(&self, group: Option<&str>) -> Answer<Self> {
        if group.is_none() {
            return Ok(self.clone());
        }
        Ok(Self { caller: Arc::new(self.caller.acting_for(group)?), ..self.clone() })
    }

    /// Whether the token still holds: asked again by whatever lasts longer than a request.
    pub(crate) async fn still_holds(&self, app: &App) -> Answer<()> {
        if let Some((token, binding)) = &self.bearer {
            let token = String::from_utf8_lossy(token.reveal());
            app.identity.authenticate(&token, binding.as_deref(), &self.info).await?;
        }
        Ok(())
    }
}

/// Lets a request through with [`Who`] on it, or answers 401 (503 where users cannot be judged).
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if is_open(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let (marks, trail) = (request.extensions().get::<Marks>(), request.extensions().get::<Arc<Trail>>());
    let (Some(marks), Some(trail)) = (marks, trail) else {
        return Problem::internal("a request came without marks").into_response();
    };
    let judged = judge(&app, marks.info(), trail, request.headers()).await;
    match judged.and_then(|who| in_group(&who, request.headers())) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(refused) => *refused,
    }
}

/// Outside `/v1` nothing is anyone's; inside, only the way to a token is open.
fn is_open(method: &Method, path: &str) -> bool {
    let is_ours = path == "/v1" || path.starts_with("/v1/");
    let is_login = path == "/v1/tokens" && [Method::GET, Method::HEAD, Method::POST].contains(method);
    !is_ours || is_login
}

fn in_group(who: &Who, headers: &HeaderMap) -> Result<Who, Box<Response>> {
    let Some(value) = headers.get(GROUP) else { return Ok(who.clone()) };
    let group = value.to_str().map_err(|_| {
        Problem::new(table::BAD_HEADER, "Archipel-Group is not text").member("header", GROUP.as_str())
    });
    group.and_then(|group| who.acting_for(Some(group))).map_err(|problem| Box::new(problem.into_response()))
}

async fn judge(
    app: &App,
    info: RequestInfo,
    trail: &Arc<Trail>,
    headers: &HeaderMap,
) -> Result<Who, Box<Response>> {
    let trail = Arc::clone(trail);
    if app.door == Door::Admin {
        let caller = match headers.get(PRINCIPAL).map(HeaderValue::as_bytes) {
            None => app.identity.local_admin(&info),
            Some(b"monitor") => app.identity.local_monitor(&info),
            Some(_) => {
                let problem = Problem::new(table::BAD_HEADER, "the only service principal is monitor");
                return Err(Box::new(problem.member("header", PRINCIPAL.as_str()).into_response()));
            }
        };
        trail.is_from(&caller);
        return Ok(Who { caller: Arc::new(caller), info, trail, bearer: None });
    }
    let token = bearer(headers)?;
    let binding = headers.get(BINDING).and_then(|value| value.to_str().ok()).map(str::to_owned);
    match app.identity.authenticate(token, binding.as_deref(), &info).await {
        Ok(caller) => {
            trail.is_from(&caller);
            let bearer = Some((SecretBytes::new(token.as_bytes()), binding));
            Ok(Who { caller: Arc::new(caller), info, trail, bearer })
        }
        Err(error) => {
            // Whatever is wrong with a token is a 401; only an absent judge is something else.
            let problem = match error.kind {
                ErrorKind::Transient | ErrorKind::Internal => Problem::from(error),
                _ => Problem::new(table::UNAUTHENTICATED, error.message),
            };
            Err(Box::new(problem.into_response()))
        }
    }
}

/// The token of exactly one `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Box<Response>> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (sent.next(), sent.next());
    let Some(value) = first else {
        let problem = Problem::new(
            table::UNAUTHENTICATED,
            "no token; send Authorization: Bearer with one from POST /v1/tokens",
        );
        let mut response = problem.into_response();
        // RFC 6750, section 3.1: no error code when no credentials were sent.
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"archipel\""));
        return Err(Box::new(response));
    };
    let refuse = |detail: &str| Box::new(Problem::new(table::UNAUTHENTICATED, detail).into_response());
    if second.is_some() {
        return Err(refuse("more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| refuse("the Authorization header is not text"))?;
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(refuse("the Authorization header is not of the form Bearer TOKEN")),
    };
    if token.is_empty() || token.len() > TOKEN_BYTES || token.contains(|c: char| c.is_ascii_whitespace()) {
        return Err(refuse("the Authorization header holds no token"));
    }
    Ok(token)
}

impl FromRequestParts<App> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("a request came to a handler unjudged"))
    }
}

//! The one shape of every failure: an RFC 9457 problem document.
//!
//! | it is | it becomes |
//! |---|---|
//! | a row of [`table`] | `type` (`urn:archipel:problem:CODE`), `title`, `status`: stable, clients may match on them |
//! | this occurrence | `detail`, for a person; `instance` (`urn:archipel:request:ID`), which finds the log line |
//! | what a client can act on | further members, e.g. `dependants`, `field` |
//!
//! A handler returns a [`Problem`]; [`finish`](crate::finish) writes it out, because only there the request's id is known.
//! The cause of a 500 is logged under that id and never sent.

pub mod table;

use std::time::Duration;

use archipel_model::{Error, ErrorKind};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

pub use table::Row;

/// The media type of every failure.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The one text of every 404: unknown, not yours and of another kind look exactly the same.
const NOT_HERE: &str = "there is no such thing here, or it is not yours";
/// The one text of every 500.
const DEFECT: &str = "this is a defect of Archipel; give the administrator the instance of this problem, it finds the log line";

/// A failure on its way out; one pointer, because nearly every function of this crate may return one.
#[derive(Clone, Debug)]
pub struct Problem(Box<Occurrence>);

#[derive(Clone, Debug)]
struct Occurrence {
    row: Row,
    detail: String,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

/// What a handler returns.
pub type Answer<T = Response> = Result<T, Problem>;

impl Problem {
    /// An occurrence of `row`.
    pub fn new(row: Row, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Occurrence { row, detail, members: Map::new(), retry_after: None, cause: None }))
    }

    /// With a member that a client can act on. The members of RFC 9457 itself cannot be replaced.
    #[must_use]
    pub fn member(mut self, key: &str, value: impl Into<Value>) -> Self {
        if !matches!(key, "type" | "title" | "status" | "detail" | "instance") {
            self.0.members.insert(key.to_owned(), value.into());
        }
        self
    }

    /// With a time to wait.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The 404 that tells nothing.
    pub fn not_found() -> Self {
        Self::new(table::NOT_FOUND, NOT_HERE)
    }

    /// A 500: `cause` goes into the log alone.
    pub fn internal(cause: impl Into<String>) -> Self {
        let mut problem = Self::new(table::INTERNAL, DEFECT);
        problem.0.cause = Some(cause.into());
        problem
    }

    /// The row.
    pub fn row(&self) -> Row {
        self.0.row
    }

    /// What is to be logged and not sent.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// For a person.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// As a document, for the request so named.
    pub fn document(&self, request_id: &str) -> Value {
        let mut members = Map::new();
        members.insert("type".into(), format!("{}{}", table::PREFIX, self.0.row.code).into());
        members.insert("title".into(), self.0.row.title.into());
        members.insert("status".into(), self.0.row.status.into());
        members.insert("detail".into(), self.0.detail.clone().into());
        members.insert("instance".into(), format!("urn:archipel:request:{request_id}").into());
        members.extend(self.0.members.clone());
        if let Some(after) = self.retry_after_s() {
            members.insert("retry_after_s".into(), after.into());
        }
        Value::Object(members)
    }

    /// Whole seconds to wait, at least one, for the statuses that carry `Retry-After`.
    pub fn retry_after_s(&self) -> Option<u64> {
        let default = match self.0.row.status {
            429 => 1,
            503 => 5,
            _ => return None,
        };
        let asked = self.0.retry_after.map(|after| after.as_millis().div_ceil(1000));
        Some(asked.map_or(default, |seconds| u64::try_from(seconds).unwrap_or(default).max(1)))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.row.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// RFC 6750; the realm is the same for every site, because a site's id is no secret but nothing a client needs here.
const CHALLENGE: &str = "Bearer realm=\"archipel\", error=\"invalid_token\"";

/// The problem of an error's kind and its finer word.
pub(crate) fn row_of(kind: ErrorKind, code: Option<&str>) -> Row {
    let code = code.unwrap_or_default();
    match kind {
        ErrorKind::Invalid => match code {
            "bad-cursor" => table::BAD_CURSOR,
            "unknown-cloud" => table::UNKNOWN_CLOUD,
            "unknown-site" => table::UNKNOWN_SITE,
            "deadline-passed" | "deadline-in-the-past" => table::DEADLINE_PASSED,
            "idempotency-key-reused" => table::KEY_REUSED,
            "precondition-required" => table::PRECONDITION_REQUIRED,
            "unsupported" => table::UNSUPPORTED,
            _ => table::INVALID,
        },
        ErrorKind::Unauthenticated => table::UNAUTHENTICATED,
        ErrorKind::Forbidden => table::FORBIDDEN,
        ErrorKind::NotFound => table::NOT_FOUND,
        ErrorKind::Conflict => match code {
            "dependants" => table::DEPENDANTS,
            "limit-exceeded" => table::LIMIT_EXCEEDED,
            "quota-exceeded" => table::QUOTA_EXCEEDED,
            "precondition-failed" => table::PRECONDITION_FAILED,
            "precondition-required" => table::PRECONDITION_REQUIRED,
            "idempotency-key-reused" => table::KEY_REUSED,
            _ => table::CONFLICT,
        },
        ErrorKind::QuotaExceeded => table::QUOTA_EXCEEDED,
        ErrorKind::Unsupported => table::UNSUPPORTED,
        ErrorKind::Transient => match code {
            "aaa-unavailable" => table::AAA_UNAVAILABLE,
            "store-unavailable" => table::STORE_UNAVAILABLE,
            "too-many-requests" | "rate-limited" | "cloud-backlog" => table::TOO_MANY_REQUESTS,
            _ => table::UNAVAILABLE,
        },
        ErrorKind::Permanent => table::CLOUD_REFUSED,
        ErrorKind::Internal => table::INTERNAL,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let row = row_of(error.kind, error.code.as_deref());
        if row.status == 404 {
            return Self::not_found();
        }
        if row.status == 500 {
            return Self::internal(error.message);
        }
        let mut problem = Self::new(row, error.message);
        problem.0.retry_after = error.retry_after;
        if let Some(code) = error.code.filter(|code| code != row.code) {
            problem = problem.member("reason", code.into_owned());
        }
        // Which plugin refused is for the audit.
        for (key, value) in error.details.into_iter().filter(|(key, _)| key != archipel_identity::DENIED_BY) {
            problem = problem.member(&key, value);
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_status() {
        let status = |error: Error| Problem::from(error).row().status;
        assert_eq!(status(Error::invalid("x")), 422);
        assert_eq!(status(Error::invalid("x").code("bad-cursor")), 400);
        assert_eq!(status(Error::unauthenticated("x")), 401);
        assert_eq!(status(Error::forbidden("x")), 403);
        assert_eq!(status(Error::not_found("x")), 404);
        assert_eq!(status(Error::conflict("x")), 409);
        assert_eq!(status(Error::conflict("x").code("precondition-failed")), 412);
        assert_eq!(status(Error::conflict("x").code("precondition-required")), 428);
        assert_eq!(status(Error::conflict("x").code("idempotency-key-reused")), 422);
        assert_eq!(status(Error::new(ErrorKind::QuotaExceeded, "x")), 409);
        assert_eq!(status(Error::unsupported("x")), 422);
        assert_eq!(status(Error::transient("x")), 503);
        assert_eq!(status(Error::transient("x").code("too-many-requests")), 429);
        assert_eq!(status(Error::transient("x").code("cloud-backlog")), 429);
        assert_eq!(status(Error::permanent("x")), 422);
        assert_eq!(status(Error::internal("x")), 500);
    }

    #[test]
    fn a_404_says_the_same_whatever_was_not_found() {
        let problem = Problem::from(Error::not_found("order 7 belongs to bob").detail("owner", "bob"));
        assert_eq!(problem.document("r")["detail"], NOT_HERE);
        assert!(problem.document("r").get("owner").is_none());
    }

    #[test]
    fn the_cause_of_a_500_is_not_sent() {
        let problem = Problem::from(Error::internal("tree `orders` is corrupt at 0x12"));
        assert_eq!(problem.cause(), Some("tree `orders` is corrupt at 0x12"));
        assert!(!problem.document("r").to_string().contains("0x12"));
    }

    #[test]
    fn details_become_members_and_cannot_replace_the_standard_ones() {
        let error = Error::conflict("orders rest on it")
            .code("dependants")
            .detail("dependants", vec!["a"])
            .detail("status", 200);
        let document = Problem::from(error).document("r-1");
        assert_eq!(document["type"], "urn:archipel:problem:dependants");
        assert_eq!(document["status"], 409);
        assert_eq!(document["dependants"][0], "a");
        assert_eq!(document["instance"], "urn:archipel:request:r-1");
    }

    #[test]
    fn a_finer_word_that_the_table_does_not_know_is_kept_as_reason() {
        let document = Problem::from(Error::transient("x").code("plugin-trap")).document("r");
        assert_eq!(document["type"], "urn:archipel:problem:unavailable");
        assert_eq!(document["reason"], "plugin-trap");
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        let problem = |after| Problem::from(Error::transient("x").retry_after(after));
        assert_eq!(problem(Duration::from_millis(1)).retry_after_s(), Some(1));
        assert_eq!(problem(Duration::ZERO).retry_after_s(), Some(1));
        assert_eq!(problem(Duration::from_millis(2500)).retry_after_s(), Some(3));
        assert_eq!(Problem::from(Error::invalid("x")).retry_after_s(), None);
    }
}

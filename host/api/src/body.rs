//! A request's body: bounded in bytes and in time, of a stated type, parsed into exactly what it may be.
//!
//! | wrong | answer |
//! |---|---|
//! | no or another media type | 415 |
//! | larger than `body_bytes` | 413 with `limit_bytes` |
//! | slower than `body_timeout_s` | 408 |
//! | not JSON, not UTF-8, NaN, nested deeper than 128 | 400 `broken-json` with line and column |
//! | JSON, but not what is asked for | 422 `invalid` with `field` |

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ApiLimits;
use crate::problem::{Answer, Problem, table};
use crate::state::App;

/// `application/merge-patch+json` (RFC 7396).
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
/// `application/json`.
pub(crate) const JSON: &str = "application/json";

/// The body of a method that takes JSON.
pub(crate) struct JsonBody(pub(crate) Bytes);

/// The body of a method that may come without one.
pub(crate) struct OptionalBody(pub(crate) Option<Bytes>);

/// The body of a PATCH: a JSON merge patch, or plain JSON meant as one.
pub(crate) struct PatchBody(pub(crate) Bytes);

impl FromRequest<App> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        check_type(request.headers(), &[JSON])?;
        read(request, &app.limits).await.map(Self)
    }
}

impl FromRequest<App> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let type_is = check_type(request.headers(), &[JSON]);
        let bytes = read(request, &app.limits).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        type_is.map(|()| Self(Some(bytes)))
    }
}

impl FromRequest<App> for PatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        check_type(request.headers(), &[MERGE_PATCH, JSON])?;
        read(request, &app.limits).await.map(Self)
    }
}

fn check_type(headers: &HeaderMap, taken: &[&str]) -> Answer<()> {
    let mut sent = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (sent.next(), sent.next());
    let essence = first
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim();
    if second.is_none() && taken.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Problem::new(table::UNSUPPORTED_MEDIA_TYPE, format!("send the body as {}", taken.join(" or ")))
        .member("accepted", taken.to_vec()))
}

async fn read(request: Request, limits: &ApiLimits) -> Answer<Bytes> {
    let too_large = || {
        Problem::new(table::TOO_LARGE, format!("the body is larger than {} bytes", limits.body_bytes))
            .member("limit_bytes", limits.body_bytes)
    };
    let stated = request.headers().get(header::CONTENT_LENGTH).map(HeaderValue::to_str);
    if let Some(Ok(text)) = stated
        && text.parse::<u64>().is_ok_and(|length| length > limits.body_bytes as u64)
    {
        return Err(too_large());
    }
    let body: Body = request.into_body();
    match tokio::time::timeout(limits.body_timeout(), Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() || is_length_limit(error.as_ref()) => {
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(table::BAD_BODY, "the body broke off")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} seconds", limits.body_timeout_s);
            Err(Problem::new(table::REQUEST_TIMEOUT, detail).member("limit_s", limits.body_timeout_s))
        }
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Parses a body. JSON that is broken is 400 wherever the break is; JSON of the wrong shape 422 with the field's path.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    // serde would also take a struct as an array of its fields, which no schema says.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        serde_json::from_slice::<Value>(bytes).map_err(|error| broken(&error))?;
        return Err(wrong("", "the body is not a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize::<_, T>(&mut reader);
    match parsed {
        Ok(value) => match reader.end() {
            Ok(()) => Ok(value),
            Err(error) => Err(broken(&error)),
        },
        Err(error) => {
            // What stopped the typed reading may stand before a break: look at the whole before blaming a field.
            let mut whole: Value = serde_json::from_slice(bytes).map_err(|error| broken(&error))?;
            // JSON has one kind of number: 1.0 is an integer to JSON Schema, and so it is here.
            if has_made_integers(&mut whole)
                && let Ok(value) = serde_path_to_error::deserialize::<_, T>(&whole)
            {
                return Ok(value);
            }
            let path = error.path().to_string();
            Err(wrong(&path, &error.into_inner().to_string()))
        }
    }
}

/// Parses a value that stands at `at` within a body.
pub(crate) fn parse_value<T: DeserializeOwned>(mut value: Value, at: &str) -> Answer<T> {
    has_made_integers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { at.to_owned() } else { format!("{at}.{path}") };
        wrong(&path, &error.into_inner().to_string())
    })
}

/// Writes every `n.0` as `n`; says whether there was one. `value` is at most 128 levels deep: serde_json read it.
fn has_made_integers(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |any, item| has_made_integers(item) | any),
        Value::Object(members) => {
            members.values_mut().fold(false, |any, member| has_made_integers(member) | any)
        }
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT);
            let Some(whole) = whole else { return false };
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            let integer = whole as i64;
            *value = integer.into();
            true
        }
        _ => false,
    }
}

/// 2^53: below it every integer is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn broken(error: &serde_json::Error) -> Problem {
    Problem::new(table::BAD_JSON, format!("the body is not JSON: {error}"))
        .member("line", error.line())
        .member("column", error.column())
}

fn wrong(path: &str, reason: &str) -> Problem {
    // serde_json adds where in the text it was; the field says it better.
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    let named = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let field = match (path, named) {
        ("." | "", Some(unknown)) => unknown.to_owned(),
        ("." | "", None) => String::new(),
        (path, _) => path.to_owned(),
    };
    let detail = if field.is_empty() { reason.to_owned() } else { format!("{field}: {reason}") };
    Problem::new(table::INVALID, detail).member("field", field)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code, reason = "parsed, never read")]
        labels: Option<BTreeMap<String, String>>,
        size: Option<u32>,
    }

    fn refusal(text: impl AsRef<[u8]>) -> (u16, serde_json::Value) {
        let problem = parse::<Sample>(text.as_ref()).unwrap_err();
        (problem.row().status, problem.document("r"))
    }

    #[test]
    fn broken_json_is_400() {
        let deep = format!("{{\"labels\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let after = "{\"nope\": 1, \"size\": }";
        for text in ["", "{", "{\"size\": NaN}", "{\"size\": 1}}", "{\"size\": 1e999}", &deep, after] {
            assert_eq!(refusal(text).0, 400, "{:.40}", text);
        }
        assert_eq!(refusal(b"{\"labels\":{\"a\":\"\xff\"}}").0, 400);
        let (_, document) = refusal("{\n  \"size\": NaN}");
        assert_eq!(document["line"], 2);
    }

    #[test]
    fn an_integer_may_be_written_with_a_point_and_a_fraction_may_not_be_one() {
        assert_eq!(parse::<Sample>(b"{\"size\": 3.0}").unwrap().size, Some(3));
        assert_eq!(parse::<Sample>(b"{\"size\": 3e2}").unwrap().size, Some(300));
        assert_eq!(refusal("{\"size\": -3.0}").0, 422);
    }

    #[test]
    fn a_wrong_shape_is_422_and_names_the_field() {
        let field = |text: &str| {
            let (status, document) = refusal(text);
            assert_eq!(status, 422, "{text}");
            document["field"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(field("{\"labels\": {\"a\": 1}}"), "labels.a");
        assert_eq!(field("{\"size\": -1}"), "size");
        assert_eq!(field("{\"size\": 1.5}"), "size");
        assert_eq!(field("{\"colour\": 1}"), "colour");
        assert_eq!(field("[]"), "");
        assert_eq!(field(" [null, 1]"), "");
        assert_eq!(field("\"labels\""), "");
        assert_eq!(field("{\"size\": 1, \"size\": 2}"), "");
    }
}

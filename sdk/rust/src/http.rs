//! An HTTP client like a small `reqwest`, over `wasi:http/outgoing-handler`.
//!
//! A plugin reaches the origins of its grant and no others; the host resolves, connects, pools, limits and books.
//! Redirects are not followed. Credentials are attached as handles: their bytes are put in when the request leaves.
//!
//! Errors say whether the far side may have acted: refused connection, DNS, denied = no; sent without an answer =
//! unknown. [`Response::error_for_status`] goes on with the status.

mod request;
mod response;
mod send;

use crate::error::{Applied, Error, ErrorKind};
use std::time::Duration;

pub use crate::credentials::percent_encoded;
pub use request::Request;
pub use response::Response;

/// One function per method.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $method:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name<'a>(url: &str) -> Request<'a> {
            Request::new($method, url)
        }
    )*};
}

methods! {
    /// A GET of an absolute URL.
    ///
    /// ```no_run
    /// # use archipel_sdk::prelude::*;
    /// #[derive(serde::Deserialize)]
    /// struct Server { status: String }
    ///
    /// fn status(token: &LocalToken, id: &str) -> Result<String> {
    ///     let server: Server = http::get(&format!("https://cloud.example/servers/{id}"))
    ///         .bearer(token)
    ///         .send()?
    ///         .error_for_status()?
    ///         .json()?;
    ///     Ok(server.status)
    /// }
    /// ```
    get "GET";
    /// A HEAD of an absolute URL.
    head "HEAD";
    /// A POST to an absolute URL.
    post "POST";
    /// A PUT to an absolute URL.
    put "PUT";
    /// A PATCH of an absolute URL.
    patch "PATCH";
    /// A DELETE of an absolute URL.
    delete "DELETE";
}

/// How much of a refusal's body goes into the error's text.
const EXCERPT: usize = 300;

/// The error of a status, none for 2xx and 304. `what` names the request. [`Response::error_for_status`] for those who
/// read more out of the body first.
///
/// 4xx says that nothing happened, 5xx that it is not known. A redirect is an error, since none is followed.
///
/// ```
/// use archipel_sdk::{ErrorKind, http};
///
/// let error = http::status_error("GET https://cloud.example/servers", 429, Some("7"), b"slow down").unwrap();
/// assert_eq!(error.kind(), ErrorKind::Transient);
/// assert_eq!(error.retry_after_time(), Some(std::time::Duration::from_secs(7)));
/// ```
#[must_use]
pub fn status_error(what: &str, status: u16, retry_after: Option<&str>, body: &[u8]) -> Option<Error> {
    let wait = retry_after.and_then(|value| retry_after_time(value, crate::clock::now_ms()));
    let (kind, applied) = match status {
        200..=299 | 304 => return None,
        401 => (ErrorKind::Unauthenticated, Applied::No),
        403 => (ErrorKind::Forbidden, Applied::No),
        404 | 410 => (ErrorKind::NotFound, Applied::No),
        405 => (ErrorKind::Unsupported, Applied::No),
        408 | 425 | 429 => (ErrorKind::Transient, Applied::No),
        // OpenStack says 413 with Retry-After where it limits the rate.
        413 if wait.is_some() => (ErrorKind::Transient, Applied::No),
        409 | 412 | 423 => (ErrorKind::Conflict, Applied::No),
        400..=499 => (ErrorKind::Invalid, Applied::No),
        500..=599 => (ErrorKind::Transient, Applied::Unknown),
        _ => (ErrorKind::Permanent, Applied::Unknown),
    };
    let mut message = format!("{what}: status {status}");
    let excerpt: String =
        String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
    if !excerpt.is_empty() {
        message.push_str(": ");
        message.push_str(&excerpt);
    }
    let error = Error::new(kind, message).applied(applied);
    Some(match wait {
        Some(wait) => error.retry_after(wait),
        None => error,
    })
}

/// A `Retry-After` (RFC 9110, 10.2.3): seconds, or a date as `Wed, 21 Oct 2015 07:28:00 GMT`.
fn retry_after_time(value: &str, now_ms: u64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = http_date(value)?.checked_mul(1000)?;
    Some(Duration::from_millis(then.saturating_sub(now_ms)))
}

/// Seconds since the Unix epoch of an IMF-fixdate.
fn http_date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = value.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month_name)?).ok()? + 1;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut time = words.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part < 61));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Days since the epoch, after Hinnant's `days_from_civil`: the year begins in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * m + 2) / 5 + day.checked_sub(1)?;
    let days = (365 * y + y / 4 - y / 100 + y / 400 + day_of_year).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A URL as errors show it: a query may hold what should not be read.
pub(crate) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, retry_after: Option<&str>) -> Error {
        status_error("GET https://a.example/x", status, retry_after, b"no\nmore").unwrap()
    }

    #[test]
    fn a_refusal_did_nothing_and_a_server_error_is_unknown() {
        assert_eq!(error(404, None).kind(), ErrorKind::NotFound);
        assert_eq!(error(409, None).applied_state(), Applied::No);
        assert_eq!(error(503, None).applied_state(), Applied::Unknown);
        assert_eq!(error(503, None).kind(), ErrorKind::Transient);
        assert_eq!(error(302, None).kind(), ErrorKind::Permanent);
        assert!(status_error("x", 204, None, b"").is_none());
    }

    #[test]
    fn the_message_names_request_status_and_the_clouds_words() {
        assert_eq!(error(422, None).message(), "GET https://a.example/x: status 422: nomore");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(error(429, Some("7")).retry_after_time(), Some(Duration::from_secs(7)));
        assert_eq!(error(413, Some("1")).kind(), ErrorKind::Transient);
        assert_eq!(error(413, None).kind(), ErrorKind::Invalid);
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(http_date(date), Some(1_445_412_480));
        assert_eq!(retry_after_time(date, 1_445_412_470_000), Some(Duration::from_secs(10)));
        assert_eq!(retry_after_time("soon", 0), None);
    }
}

//! `Prefer: wait=N` (RFC 7240): seconds that a request would wait for an order to settle. Anything else in `Prefer` is a
//! wish that this site does not know, and is passed over, as the RFC asks.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// In.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Out.
pub(crate) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The first `wait`, from one second to `max_s`.
pub(crate) fn wait(headers: &HeaderMap, max_s: u64) -> Option<Duration> {
    let wishes = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    let seconds: u64 = wishes
        .filter_map(|wish| wish.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| value.trim().trim_matches('"').parse().ok())?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(max_s)))
}

/// Says that `waited` was granted.
pub(crate) fn applied(waited: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("wait={}", waited.as_secs())).unwrap_or(HeaderValue::from_static("wait"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, HeaderValue::from_str(text).unwrap());
        wait(&headers, 60).map(|wait| wait.as_secs())
    }

    #[test]
    fn wait_is_read_and_bounded_and_everything_else_passed_over() {
        assert_eq!(asked("wait=30"), Some(30));
        assert_eq!(asked("respond-async, Wait = 5; x=1"), Some(5));
        assert_eq!(asked("wait=3600"), Some(60));
        for none in
            ["wait=0", "wait", "wait=soon", "wait=-1", "handling=strict", "wait=99999999999999999999999"]
        {
            assert_eq!(asked(none), None, "{none}");
        }
    }
}

//! Headers that never cross: those of one connection, and those that only the host writes.

use http::header::{self, HeaderMap, HeaderName};

use crate::error::EgressError;

/// Hop-by-hop headers (RFC 9110, section 7.6.1), those that make proxies act, and `Host`, which follows the URL.
const OF_ONE_HOP: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "expect",
];

/// Whether a header belongs to one connection or is the host's to write.
pub fn is_of_one_hop(name: &HeaderName) -> bool {
    OF_ONE_HOP.contains(&name.as_str())
}

/// Removes them, and those that `Connection` names.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(OF_ONE_HOP.iter().map(|name| HeaderName::from_static(name))) {
        headers.remove(name);
    }
}

/// A body's length is said once, in digits: two servers that read it differently would see two requests where there is one.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_length(headers: &HeaderMap) -> Result<(), EgressError> {
    let mut said = headers.get_all(header::CONTENT_LENGTH).iter();
    let is_number = |value: &http::HeaderValue| {
        (1..=19).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
    };
    match (said.next(), said.next()) {
        (None, _) => Ok(()),
        (Some(value), None) if is_number(value) => Ok(()),
        _ => Err(EgressError::Invalid("content-length must be one number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_number() {
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_LENGTH, value.parse().unwrap());
            }
            check_length(&headers).is_ok()
        };
        assert!(check(&[]) && check(&["0"]) && check(&["4096"]));
        for wrong in
            [&["1", "1"][..], &["1, 1"], &["+1"], &["0x10"], &[""], &["-1"], &["99999999999999999999"]]
        {
            assert!(!check(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn hop_by_hop_headers_and_those_named_by_connection_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("host", "evil"),
            ("te", "trailers"),
            ("proxy-authorization", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            ("x-auth-token", "t"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-auth-token"]);
    }
}

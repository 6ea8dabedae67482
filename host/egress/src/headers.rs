//! Headers that never cross: those of one connection, and those that only the host writes.

use http::header::{self, HeaderMap, HeaderName};

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

#[cfg(test)]
mod tests {
    use super::*;

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

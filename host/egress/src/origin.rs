//! Origins, and the patterns that grants allow. Pure.
//!
//! | accepted | meaning |
//! |---|---|
//! | `https://cloud.example.org` | that host, port 443 |
//! | `https://cloud.example.org:5000` | that port alone |
//! | `https://*.example.org` | every host below `example.org`, not itself |
//! | `http://127.0.0.1:8774` | plain HTTP, because the grant says so |
//!
//! Refused: a bare `*` (it allows everything), `*` elsewhere than as the whole first label (`*com` allows strangers),
//! a star directly over a top-level name, paths, queries and user names (this is a policy of hosts), other schemes.
//! Hosts are compared after the URL standard's normalisation: case, IDNA, and every spelling of an IPv4 address
//! (`0x7f.1`, `2130706433`) are one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// TLS or not.
    pub secure: bool,
    /// Normalised; IPv6 without brackets.
    pub host: String,
    /// The port, also where it is the scheme's own.
    pub port: u16,
}

impl Origin {
    /// The origin of a URL, and its path with query. User names and other schemes than http and https are refused.
    pub fn of_url(text: &str) -> Result<(Self, String), OriginError> {
        let fail = |why| OriginError { text: shorten(text), why };
        let url = Url::parse(text).map_err(|_| fail("it is not an absolute URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("it has a user name; use a credential instead"));
        }
        let origin = Self::of_parsed(&url)
            .ok_or_else(|| fail("it is not http:// or https:// with the name or address of a host"))?;
        let mut target = url.path().to_owned();
        if let Some(query) = url.query() {
            target.push('?');
            target.push_str(query);
        }
        Ok((origin, target))
    }

    /// Whether it names this machine, where plain HTTP shows nothing to a network.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn of_parsed(url: &Url) -> Option<Self> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) if is_name(name) => name.to_owned(),
            Host::Domain(_) => return None,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Some(Self { secure, host, port: url.port_or_known_default()? })
    }

    /// Host as in `Host:` and in URLs, with the port unless it is the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.secure { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

/// Letters of host names, after the URL standard's own decoding. It leaves more: `%2a.example.org` would become one host whose
/// name reads as a pattern for many.
fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }
}

/// What a grant allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OriginPattern {
    /// One origin.
    Exact(Origin),
    /// Every host below a name.
    Below {
        /// TLS or not.
        secure: bool,
        /// The name with its leading dot.
        suffix: String,
        /// The port.
        port: u16,
    },
}

impl OriginPattern {
    /// Whether it allows this origin.
    pub fn allows(&self, origin: &Origin) -> bool {
        match self {
            Self::Exact(allowed) => allowed == origin,
            Self::Below { secure, suffix, port } => {
                *secure == origin.secure
                    && *port == origin.port
                    && origin.host.len() > suffix.len()
                    && origin.host.ends_with(suffix.as_str())
            }
        }
    }

    /// Whether it allows everything that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(origin)) => self.allows(origin),
            (Self::Exact(_), Self::Below { .. }) => false,
            (Self::Below { secure, suffix, port }, Self::Below { secure: s, suffix: inner, port: p }) => {
                secure == s && port == p && inner.ends_with(suffix.as_str())
            }
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => origin.fmt(f),
            Self::Below { secure, suffix, port } => {
                let origin = Origin { secure: *secure, host: format!("*{suffix}"), port: *port };
                origin.fmt(f)
            }
        }
    }
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let fail = |why| OriginError { text: shorten(text), why };
        let form = "write https://host, https://host:port or https://*.example.org";
        if text == "*" || text.ends_with("://*") || text.contains("://*:") {
            return Err(fail("a bare * would allow every host; name the hosts"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fail(form))?;
        let (starred, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.contains('*') {
            return Err(fail("* may only stand for whole labels in front: https://*.example.org"));
        }
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| fail(form))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(fail("it has a path or query; a grant names hosts, not URLs"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("it has a user name"));
        }
        let origin = Origin::of_parsed(&url).ok_or_else(|| fail(form))?;
        if !starred {
            return Ok(Self::Exact(origin));
        }
        if !matches!(url.host(), Some(Host::Domain(_))) || !origin.host.trim_end_matches('.').contains('.') {
            return Err(fail("* over an address or a top-level name would allow strangers"));
        }
        Ok(Self::Below { secure: origin.secure, suffix: format!(".{}", origin.host), port: origin.port })
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Not an origin, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be used: {why}")]
pub struct OriginError {
    text: String,
    why: &'static str,
}

fn shorten(text: &str) -> String {
    // User names and queries may hold secrets: nothing after the host is repeated.
    let end = text.find("://").map_or(0, |at| at + 3);
    let host = text.get(end..).unwrap_or_default();
    let stop = host.find(['/', '?', '#']).unwrap_or(host.len());
    let host = host.get(..stop).unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{}{}", text.get(..end).unwrap_or_default(), host.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> OriginPattern {
        text.parse().unwrap()
    }

    fn origin(text: &str) -> Origin {
        Origin::of_url(text).unwrap().0
    }

    #[test]
    fn an_exact_pattern_allows_its_origin_alone() {
        let allowed = pattern("https://cloud.example.org");
        for yes in ["https://cloud.example.org/x?y", "https://CLOUD.example.org:443/"] {
            assert!(allowed.allows(&origin(yes)), "{yes}");
        }
        for no in [
            "http://cloud.example.org",
            "https://cloud.example.org:8443",
            "https://cloud.example.org.evil.test",
            "https://cloud.example.org.",
            "https://evilcloud.example.org",
            "https://example.org",
        ] {
            assert!(!allowed.allows(&origin(no)), "{no}");
        }
    }

    #[test]
    fn a_host_cannot_be_spelled_so_that_it_reads_as_a_pattern() {
        for text in [
            "https://%2a.example.org",
            "https://*.example.org",
            "https://a%2A.example.org",
            "https://a,b.test",
        ] {
            assert!(Origin::of_url(text).is_err(), "{text}");
        }
        for text in ["https://%2a.example.org", "https://a.%2aexample.org"] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
        assert_eq!(origin("https://my_cloud-1.example.org").host, "my_cloud-1.example.org");
    }

    #[test]
    fn a_suffix_allows_hosts_below_it_and_not_itself() {
        let allowed = pattern("https://*.example.org:5000");
        assert!(allowed.allows(&origin("https://a.example.org:5000")));
        assert!(allowed.allows(&origin("https://a.b.example.org:5000")));
        for no in [
            "https://example.org:5000",
            "https://a.example.org",
            "https://aexample.org:5000",
            "https://a.example.org.:5000",
        ] {
            assert!(!allowed.allows(&origin(no)), "{no}");
        }
    }

    #[test]
    fn patterns_that_allow_strangers_are_refused_with_the_right_form() {
        for wrong in [
            "*",
            "https://*",
            "https://*:443",
            "https://*com",
            "https://*.com",
            "https://a.*.org",
            "https://*.127.0.0.1",
            "https://h/path",
            "https://h?x=1",
            "https://u:p@h",
            "ftp://h",
            "h:443",
            "",
            "https://",
        ] {
            assert!(wrong.parse::<OriginPattern>().is_err(), "{wrong}");
        }
        let error = "https://*com".parse::<OriginPattern>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"https://*com\" cannot be used: * may only stand for whole labels in front: https://*.example.org"
        );
    }

    #[test]
    fn every_spelling_of_an_address_is_one_origin() {
        let loopback = origin("http://127.0.0.1:80");
        for spelling in [
            "http://0x7f.1",
            "http://2130706433",
            "http://017700000001",
            "http://127.1",
            "http://0x7f000001/",
            "http://127.0.0.1.:80",
        ] {
            assert_eq!(origin(spelling), loopback, "{spelling}");
        }
        assert_eq!(origin("http://[0:0:0:0:0:0:0:1]"), origin("http://[::1]:80"));
        assert_eq!(origin("https://BÜCHER.example").host, "xn--bcher-kva.example");
    }

    #[test]
    fn urls_with_users_or_odd_schemes_are_refused_and_not_repeated() {
        let error = Origin::of_url("https://alice:hunter2@cloud.test/secret?x").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("secret"), "{error}");
        for wrong in ["ftp://h", "file:///etc/passwd", "cloud.test", "https:///x@", "unix:/run/x"] {
            assert!(Origin::of_url(wrong).is_err() || wrong == "https:///x@", "{wrong}");
        }
    }

    #[test]
    fn wider_patterns_cover_narrower_ones() {
        assert!(pattern("https://*.example.org").covers(&pattern("https://*.a.example.org")));
        assert!(pattern("https://*.example.org").covers(&pattern("https://a.example.org")));
        assert!(!pattern("https://*.a.example.org").covers(&pattern("https://*.example.org")));
        assert!(!pattern("https://a.example.org").covers(&pattern("https://*.a.example.org")));
        assert!(!pattern("https://*.example.org").covers(&pattern("http://a.example.org")));
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in [
            "https://a.example.org",
            "http://127.0.0.1:8774",
            "https://*.example.org:5000",
            "https://[::1]:5000",
        ] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }
}

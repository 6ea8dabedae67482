//! Where a secret may go. Pure: no I/O, no state.
//!
//! | field | form | meaning |
//! |---|---|---|
//! | `name` | `keystone-admin`, `login.*`, `captured.*`, `session`, `local-token` | which secret; one `*` at the end matches the rest |
//! | `origin` | `https://keystone.example.org:5000` | scheme, host and port of the final URL, exactly |
//! | `methods` | `["POST"]`; empty = none | the request's method |
//! | `path` | `/v3/auth/tokens`, `/v2.1/*` | `*` matches anything, `/` included; the query is not part of it |
//! | `placement` | `header:X-Auth-Token`, `bearer`, `basic`, `json`, `form`, `sigv4`, `client-certificate` | how it is put in |
//!
//! A rule is one conjunction; a use is allowed if some rule allows all of it. A secret without a rule goes nowhere.
//! The path counts, because on one host a login endpoint checks a password while another endpoint stores what it is
//! given and shows it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where in a request a secret goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The header so named (lower-case).
    Header(String),
    /// `Authorization: Bearer ...`.
    Bearer,
    /// `Authorization: Basic ...`.
    Basic,
    /// Inside a JSON string of the body.
    Json,
    /// Inside a form field of the body.
    Form,
    /// Not in it at all: it signs the request ([`sigv4`](crate::sigv4)).
    SigV4,
    /// Shown in the handshake of TLS.
    ClientCertificate,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Json => f.write_str("json"),
            Self::Form => f.write_str("form"),
            Self::SigV4 => f.write_str("sigv4"),
            Self::ClientCertificate => f.write_str("client-certificate"),
        }
    }
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bearer" => Ok(Self::Bearer),
            "basic" => Ok(Self::Basic),
            "json" => Ok(Self::Json),
            "form" => Ok(Self::Form),
            "sigv4" => Ok(Self::SigV4),
            "client-certificate" => Ok(Self::ClientCertificate),
            _ => match text.strip_prefix("header:") {
                Some(name)
                    if !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
                {
                    Ok(Self::Header(name.to_ascii_lowercase()))
                }
                _ => Err(format!(
                    "{text:?} is not a placement; write header:NAME, bearer, basic, json, form, sigv4 or client-certificate"
                )),
            },
        }
    }
}

impl Serialize for Placement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One place where one secret (or family of secrets) may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// The secret's name, or a family: `login.*`.
    pub name: String,
    /// `scheme://host[:port]`.
    #[serde(deserialize_with = "canonical_origin")]
    pub origin: String,
    /// Methods, as in `["POST"]`.
    pub methods: Vec<String>,
    /// The path, with `*` for anything.
    pub path: String,
    /// How it is put in.
    pub placement: Placement,
}

/// Whether some rule lets this secret go there. `origin` as [`url::Origin::ascii_serialization`] writes it; `path`
/// without query. A path with dot segments or an escaped slash is refused whatever the rules say: servers disagree
/// on what it means.
pub fn may_use(
    rules: &[SecretRule],
    secret: &str,
    origin: &str,
    method: &str,
    path: &str,
    placement: &Placement,
) -> bool {
    is_plain_path(path)
        && rules.iter().any(|rule| {
            matches_name(&rule.name, secret)
                && rule.origin == origin
                && rule.methods.iter().any(|allowed| allowed == method)
                && matches_glob(rule.path.as_bytes(), path.as_bytes())
                && rule.placement == *placement
        })
}

/// Whether a name, or a family ending in `*`, covers this secret's name. A bare `*` covers nothing.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => false,
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Whether the path means the same to everybody.
fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.starts_with('/')
        && !path.contains('\\')
        && !lower.contains("%2f")
        && !lower.contains("%5c")
        && path.split('/').all(|segment| {
            let segment = segment.to_ascii_lowercase().replace("%2e", ".");
            segment != "." && segment != ".."
        })
}

/// Matches `*` against any run of bytes; linear in time for one star, quadratic at worst.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == byte => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    p = star + 1;
                    t = from + 1;
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

fn canonical_origin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fail =
        || de::Error::custom(format!("{text:?} is not an origin; write https://host or https://host:port"));
    let url = url::Url::parse(&text).map_err(|_| fail())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let named = url.host_str().is_some_and(|host| !host.is_empty() && !host.contains('*'));
    if bare
        && named
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.scheme(), "http" | "https")
    {
        Ok(url.origin().ascii_serialization())
    } else {
        Err(fail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, path: &str, placement: &str) -> SecretRule {
        SecretRule {
            name: name.into(),
            origin: "https://keystone.test:5000".into(),
            methods: vec!["POST".into()],
            path: path.into(),
            placement: placement.parse().unwrap(),
        }
    }

    #[test]
    fn every_part_of_a_rule_must_hold() {
        let rules = [rule("admin", "/v3/auth/tokens", "json")];
        let ok = |secret, origin, method, path, placement: &str| {
            may_use(&rules, secret, origin, method, path, &placement.parse().unwrap())
        };
        let origin = "https://keystone.test:5000";
        assert!(ok("admin", origin, "POST", "/v3/auth/tokens", "json"));
        assert!(!ok("other", origin, "POST", "/v3/auth/tokens", "json"));
        assert!(!ok("admin", "https://keystone.test", "POST", "/v3/auth/tokens", "json"));
        assert!(!ok("admin", "http://keystone.test:5000", "POST", "/v3/auth/tokens", "json"));
        assert!(!ok("admin", origin, "PUT", "/v3/auth/tokens", "json"));
        assert!(!ok("admin", origin, "POST", "/v3/auth/tokens/x", "json"));
        assert!(!ok("admin", origin, "POST", "/v3/servers", "json"));
        assert!(!ok("admin", origin, "POST", "/v3/auth/tokens", "form"));
        assert!(!ok("admin", origin, "POST", "/v3/auth/tokens", "header:x-user-data"));
        assert!(!may_use(&[], "admin", origin, "POST", "/", &Placement::Bearer));
    }

    #[test]
    fn a_star_in_a_path_matches_anything_and_only_there() {
        for (pattern, path, wanted) in [
            ("/v2.1/*", "/v2.1/servers/1/action", true),
            ("/v2.1/*", "/v2.1/", true),
            ("/v2.1/*", "/v2.1", false),
            ("/v2.1/*", "/v2/servers", false),
            ("/*/servers", "/v2/servers", true),
            ("/*/servers", "/v2/servers/1", false),
            ("/a*b*c", "/axxbyyc", true),
            ("/a*b*c", "/axxcyyb", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(
                may_use(
                    &[rule("t", pattern, "bearer")],
                    "t",
                    "https://keystone.test:5000",
                    "POST",
                    path,
                    &Placement::Bearer
                ),
                wanted,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn paths_that_servers_read_differently_are_refused() {
        let rules = [rule("t", "/public/*", "bearer")];
        for path in [
            "/public/../admin",
            "/public/%2e%2E/admin",
            "/public/%2fadmin",
            "/public/%5c..",
            "/public\\x",
            "/public/./x",
            "public/x",
        ] {
            assert!(
                !may_use(&rules, "t", "https://keystone.test:5000", "POST", path, &Placement::Bearer),
                "{path}"
            );
        }
    }

    #[test]
    fn families_match_their_prefix_and_a_bare_star_nothing() {
        assert!(matches_name("login.*", "login.password"));
        assert!(!matches_name("login.*", "session"));
        assert!(!matches_name("*", "session"));
        assert!(matches_name("session", "session"));
    }

    #[test]
    fn a_rule_is_read_with_its_origin_made_canonical() {
        let read = |origin: &str| {
            serde_json::from_value::<SecretRule>(serde_json::json!({
                "name": "a", "origin": origin, "methods": ["GET"], "path": "/*", "placement": "header:X-Auth-Token"
            }))
        };
        assert_eq!(read("HTTPS://Host.test:443/").unwrap().origin, "https://host.test");
        assert_eq!(read("https://h.test").unwrap().placement, Placement::Header("x-auth-token".into()));
        for wrong in [
            "https://h.test/path",
            "https://*.test",
            "ftp://h.test",
            "h.test",
            "https://u:p@h.test",
            "https://h.test?x",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("is not an origin"), "{error}");
        }
    }

    #[test]
    fn unknown_placements_are_named_with_the_known_ones() {
        let error = "cookie".parse::<Placement>().unwrap_err();
        assert_eq!(
            error,
            "\"cookie\" is not a placement; write header:NAME, bearer, basic, json, form, sigv4 or client-certificate"
        );
    }
}

//! `ETag`, `If-Match`, `If-None-Match` (RFC 9110, section 13): an order's tag is its version in quotes, and strong. A bare
//! version is taken as a tag too, because quotes get lost in shells.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Answer, Problem, table};

/// The tag of a version.
pub(crate) fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The tag as a header's value.
pub(crate) fn value(version: u64) -> HeaderValue {
    HeaderValue::from_str(&tag(version)).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// What a condition lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `*`
    Any,
    /// Tags, as sent.
    Tags(Vec<Tag>),
}

/// One entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    is_weak: bool,
    opaque: String,
}

impl Condition {
    /// The condition in `If-Match`.
    pub(crate) fn if_match(headers: &HeaderMap) -> Answer<Option<Self>> {
        Self::read(headers, &header::IF_MATCH)
    }

    /// The condition in `If-None-Match`.
    pub(crate) fn if_none_match(headers: &HeaderMap) -> Answer<Option<Self>> {
        Self::read(headers, &header::IF_NONE_MATCH)
    }

    fn read(headers: &HeaderMap, name: &HeaderName) -> Answer<Option<Self>> {
        let bad = || {
            Problem::new(table::BAD_HEADER, format!("{name} is not `*` or a list of quoted tags"))
                .member("header", name.as_str())
        };
        let mut tags = Vec::new();
        let mut is_any = false;
        let mut was_sent = false;
        for value in headers.get_all(name) {
            was_sent = true;
            let text = value.to_str().map_err(|_| bad())?.trim();
            if text == "*" {
                is_any = true;
            } else if (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
                tags.push(Tag { is_weak: false, opaque: text.to_owned() });
            } else {
                tags.extend(list(text).ok_or_else(bad)?);
            }
        }
        match (was_sent, is_any, tags.is_empty()) {
            (false, _, _) => Ok(None),
            (true, true, true) => Ok(Some(Self::Any)),
            (true, false, false) => Ok(Some(Self::Tags(tags))),
            _ => Err(bad()),
        }
    }

    /// Strong comparison, for `If-Match`: a weak tag never matches.
    pub(crate) fn holds_strongly(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| !tag.is_weak && tag.opaque == version.to_string()),
        }
    }

    /// Weak comparison, for `If-None-Match`.
    pub(crate) fn holds(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.opaque == version.to_string()),
        }
    }
}

/// The version that a write is bound to, or 412.
pub(crate) fn bound_version(condition: Option<&Condition>, version: u64) -> Answer<Option<u64>> {
    match condition {
        None | Some(Condition::Any) => Ok(None),
        Some(condition) if condition.holds_strongly(version) => Ok(Some(version)),
        Some(_) => Err(Problem::new(
            table::PRECONDITION_FAILED,
            "it changed since the version that If-Match names; read it again",
        )
        .member("etag", tag(version))),
    }
}

/// A comma-separated list of entity tags; commas inside quotes belong to the tag.
fn list(text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let is_weak = rest.starts_with("W/");
        rest = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (opaque, after) = rest.split_once('"')?;
        tags.push(Tag { is_weak, opaque: opaque.to_owned() });
        rest = after.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Answer<Option<Condition>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, HeaderValue::from_str(text).unwrap());
        Condition::if_match(&headers)
    }

    #[test]
    fn a_star_a_tag_and_a_list_are_read() {
        assert!(condition("*").unwrap().unwrap().holds_strongly(7));
        assert!(condition("\"7\"").unwrap().unwrap().holds_strongly(7));
        assert!(condition("\"1,2\" , W/\"3\",\"7\"").unwrap().unwrap().holds_strongly(7));
        assert!(condition("7").unwrap().unwrap().holds_strongly(7));
        assert!(!condition("\"6\"").unwrap().unwrap().holds_strongly(7));
        assert_eq!(Condition::if_match(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_weak_tag_matches_weakly_alone() {
        let weak = condition("W/\"7\"").unwrap().unwrap();
        assert!(weak.holds(7));
        assert!(!weak.holds_strongly(7));
    }

    #[test]
    fn what_is_no_tag_is_400() {
        for bad in ["x", "7, 8", "\"7", "", "\"7\" \"8\"", "*, \"7\"", "\"7\","] {
            assert_eq!(condition(bad).unwrap_err().row(), table::BAD_HEADER, "{bad}");
        }
    }
}

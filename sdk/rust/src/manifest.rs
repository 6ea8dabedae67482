//! The manifest: JSON in the custom section `archipel:manifest`, made and checked while the plugin compiles.
//!
//! `export!` glues the author's block between the package's name and a closing brace; [`normalise`] reads the result
//! as JSON, without blanks and trailing commas. A mistake is a compile error, because the host reads the section
//! before anything else and would refuse the plugin then. [`check`] is the stricter half, which `export!` turns into
//! a unit test of the plugin.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "const evaluation: an index or a panic fails the build"
)]

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The version of `wit/` that this crate speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// Deepest nesting of objects and lists.
const DEPTH: usize = 64;

/// What the reader expects next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// Reads `source` as JSON and writes it again without blanks and trailing commas: the text and its length.
///
/// # Panics
/// While compiling, on anything that is no JSON.
#[must_use]
pub const fn normalise<const N: usize>(source: &str) -> ([u8; N], usize) {
    let input = source.as_bytes();
    let mut out = [0u8; N];
    let mut length = 0;
    let mut stack = [0u8; DEPTH];
    let mut depth = 0;
    let mut expect = Expect::Value;
    let mut at = 0;
    while at < input.len() {
        let byte = input[at];
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b'{' | b'[' => {
                assert!(
                    matches!(expect, Expect::Value | Expect::ValueOrEnd),
                    "manifest: a value stands where none can"
                );
                assert!(depth < DEPTH, "manifest: nested too deep");
                stack[depth] = byte;
                depth += 1;
                expect = if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
            }
            b'}' | b']' => {
                let open = if byte == b'}' { b'{' } else { b'[' };
                assert!(depth > 0 && stack[depth - 1] == open, "manifest: brackets do not match");
                assert!(!matches!(expect, Expect::Value | Expect::Colon), "manifest: a key has no value");
                if out[length - 1] == b',' {
                    length -= 1;
                }
                depth -= 1;
                expect = Expect::CommaOrEnd;
            }
            b',' => {
                assert!(
                    matches!(expect, Expect::CommaOrEnd) && depth > 0,
                    "manifest: a comma stands where none can"
                );
                expect = if stack[depth - 1] == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
            }
            b':' => {
                assert!(matches!(expect, Expect::Colon), "manifest: a colon stands where none can");
                expect = Expect::Value;
            }
            _ => {
                assert!(
                    !matches!(expect, Expect::Colon | Expect::CommaOrEnd),
                    "manifest: a comma or a colon is missing"
                );
                let is_key = matches!(expect, Expect::KeyOrEnd);
                assert!(!is_key || byte == b'"', "manifest: a key is no string; write \"key\": value");
                let end = if byte == b'"' { string_end(input, at) } else { literal_end(input, at) };
                expect = if is_key { Expect::Colon } else { Expect::CommaOrEnd };
                // Tokens of a negative number may come apart.
                if byte == b'-' && end == at + 1 {
                    out[length] = byte;
                    length += 1;
                    at += 1;
                    expect = Expect::Value;
                    continue;
                }
                while at < end {
                    out[length] = input[at];
                    length += 1;
                    at += 1;
                }
                continue;
            }
        }
        out[length] = byte;
        length += 1;
        at += 1;
    }
    assert!(depth == 0, "manifest: a bracket is not closed");
    (out, length)
}

/// Behind the closing quote of the string that starts at `at`.
const fn string_end(input: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < input.len() && input[at] != b'"' {
        assert!(input[at] >= 0x20, "manifest: a string runs over a line's end; write it on one line");
        if input[at] == b'\\' {
            at += 1;
            assert!(
                matches!(input[at], b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'),
                "manifest: an escape that JSON does not know; use \\\" \\\\ \\n \\t or the character itself"
            );
        }
        at += 1;
    }
    assert!(at < input.len(), "manifest: a string is not closed");
    at + 1
}

/// Behind the number, `true`, `false` or `null` that starts at `at`.
const fn literal_end(input: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < input.len()
        && (input[end].is_ascii_alphanumeric() || matches!(input[end], b'.' | b'+' | b'-'))
    {
        end += 1;
    }
    let first = input[at];
    let is_word = is_word(input, at, end, b"true")
        || is_word(input, at, end, b"false")
        || is_word(input, at, end, b"null");
    assert!(
        first.is_ascii_digit() || first == b'-' || is_word,
        "manifest: a value is no JSON; strings need quotes"
    );
    end
}

/// Whether `input[at..end]` is `word`.
const fn is_word(input: &[u8], at: usize, end: usize, word: &[u8]) -> bool {
    if end - at != word.len() {
        return false;
    }
    let mut i = 0;
    while i < word.len() {
        if input[at + i] != word[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The first `N` bytes.
#[must_use]
pub const fn truncate<const FROM: usize, const N: usize>(bytes: &[u8; FROM]) -> [u8; N] {
    let mut out = [0u8; N];
    let mut i = 0;
    while i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// Where the value of `key` starts in the object that starts at `object`, in normalised JSON.
#[must_use]
pub const fn find(json: &[u8], object: usize, key: &str) -> Option<usize> {
    let key = key.as_bytes();
    let mut depth = 0usize;
    let mut at = object;
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return None;
                }
            }
            b'"' => {
                let end = string_end(json, at);
                if depth == 1 && json[end] == b':' && is_word(json, at + 1, end - 1, key) {
                    return Some(end + 1);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether the manifest says how kind `kind` is driven.
#[must_use]
pub const fn states_driver(json: &[u8], kind: &str) -> bool {
    match find(json, 0, "drivers") {
        Some(drivers) => find(json, drivers, kind).is_some(),
        None => false,
    }
}

/// Whether the manifest names a power action of computes.
#[must_use]
pub const fn states_actions(json: &[u8]) -> bool {
    let Some(drivers) = find(json, 0, "drivers") else { return false };
    let Some(compute) = find(json, drivers, "compute") else { return false };
    match find(json, compute, "actions") {
        Some(actions) => json[actions] == b'[' && json[actions + 1] != b']',
        None => false,
    }
}

/// The manifest as the host reads it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the check")]
struct Manifest {
    name: String,
    version: String,
    sdk: String,
    wit: String,
    interfaces: Vec<String>,
    #[serde(default)]
    capabilities: Capabilities,
    config_schema: Option<Map<String, Value>>,
    #[serde(default)]
    drivers: BTreeMap<String, Driven>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code, reason = "reading it is the check")]
struct Capabilities {
    hosts: Vec<Host>,
    secrets: Vec<Named>,
    reveal: Vec<Named>,
    storage: Option<Storage>,
    crypto: Vec<Purpose>,
    folders: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    origin: Option<String>,
    config: Option<String>,
    discovered: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the check")]
struct Named {
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the check")]
struct Storage {
    bytes: u64,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the check")]
struct Purpose {
    purpose: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the check")]
struct Driven {
    create: Create,
    settle_ms: u64,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "reading it is the check")]
enum Action {
    Pause,
    Resume,
    Stop,
    Start,
    Reboot,
    Hibernate,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "reading it is the check")]
enum Create {
    Idempotent,
    Searchable,
    Neither,
}

/// Checks a manifest as the host will: unknown fields, missing reasons, hosts named in none of the three ways.
///
/// # Errors
/// What is wrong, with its path.
pub fn check(json: &[u8]) -> Result<(), String> {
    let manifest: Manifest = crate::config::from_json(json)?;
    if manifest.interfaces.is_empty() {
        return Err("interfaces: a plugin exports at least one".to_owned());
    }
    let exports_power =
        manifest.interfaces.iter().any(|name| name.starts_with("archipel:cloud/compute-power@"));
    for (kind, _) in manifest.drivers.iter().filter(|(_, driven)| !driven.actions.is_empty()) {
        if kind != "compute" {
            return Err(format!("drivers.{kind}.actions: computes alone have power actions"));
        }
        if !exports_power {
            return Err("drivers.compute.actions: export ComputePower, or name none".to_owned());
        }
    }
    for (index, host) in manifest.capabilities.hosts.iter().enumerate() {
        let problem = match (&host.origin, &host.config, &host.discovered) {
            (Some(origin), None, None) if origin.starts_with("https://") || origin.starts_with("http://") => {
                None
            }
            (None, Some(pointer), None) if pointer.starts_with('/') => None,
            (None, None, Some(how)) if !how.is_empty() => None,
            (Some(_), None, None) => Some("origin: must begin with https:// or http://"),
            (None, Some(_), None) => Some("config: must be a JSON pointer such as \"/auth_url\""),
            _ => Some("name one of origin, config and discovered"),
        };
        let problem = problem.or(host.reason.is_empty().then_some("reason: say why"));
        if let Some(problem) = problem {
            return Err(format!("capabilities.hosts[{index}].{problem}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(source: &str) -> String {
        let (bytes, length) = normalise::<4096>(source);
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn blanks_and_trailing_commas_go_and_strings_stay() {
        assert_eq!(
            normalised("{ \"a\" : [1, - 2, true ,], \"b , ]\" : {}, }"),
            r#"{"a":[1,-2,true],"b , ]":{}}"#
        );
    }

    #[test]
    fn what_is_no_json_fails() {
        for source in [
            "{a: 1}",
            "{\"a\" 1}",
            "{\"a\": }",
            "[1 2]",
            "{\"a\": yes}",
            "[",
            "\"\\u{e9}\"",
            "{\"a\",}",
            "[,]",
        ] {
            assert!(std::panic::catch_unwind(|| normalised(source)).is_err(), "{source}");
        }
    }

    #[test]
    fn keys_are_found_at_their_own_level_only() {
        let json = br#"{"x":{"drivers":1},"y":"drivers","drivers":{"compute":{"volume":1}}}"#;
        assert!(states_driver(json, "compute"));
        assert!(!states_driver(json, "volume"));
    }

    #[test]
    fn power_actions_are_those_of_computes_and_come_with_their_interface() {
        let manifest = |interface: &str, kind: &str, action: &str| {
            format!(
                r#"{{"name":"a","version":"1","sdk":"s","wit":"0.1.0","interfaces":["archipel:cloud/{interface}@0.1.0"],
                "drivers":{{"{kind}":{{"create":"neither","settle_ms":1,"actions":[{action}]}}}}}}"#
            )
        };
        let states = |json: String| states_actions(normalised(&json).as_bytes());
        assert!(states(manifest("compute-power", "compute", r#""stop""#)));
        assert!(!states(manifest("compute-power", "compute", "")));
        assert!(!states(manifest("compute-power", "volume", r#""stop""#)));
        let check = |interface, kind, action| check(manifest(interface, kind, action).as_bytes());
        assert_eq!(check("compute-power", "compute", r#""stop", "reboot""#), Ok(()));
        assert_eq!(
            check("compute", "compute", r#""stop""#).unwrap_err(),
            "drivers.compute.actions: export ComputePower, or name none"
        );
        assert!(
            check("compute-power", "volume", r#""stop""#).unwrap_err().starts_with("drivers.volume.actions")
        );
        assert!(check("compute-power", "compute", r#""explode""#).unwrap_err().contains("explode"));
    }

    #[test]
    fn a_host_without_a_reason_is_refused_by_the_check() {
        let manifest = r#"{"name":"a","version":"1","sdk":"s","wit":"0.1.0","interfaces":["x"],
            "capabilities":{"hosts":[{"origin":"https://a.example","reason":""}]}}"#;
        assert_eq!(check(manifest.as_bytes()).unwrap_err(), "capabilities.hosts[0].reason: say why");
    }

    #[test]
    fn a_host_is_named_in_one_of_three_ways() {
        let manifest = |host: &str| {
            format!(
                r#"{{"name":"a","version":"1","sdk":"s","wit":"0.1.0","interfaces":["x"],
                "capabilities":{{"hosts":[{{{host},"reason":"r"}}]}}}}"#
            )
        };
        for host in [r#""origin":"https://a.example""#, r#""config":"/url""#, r#""discovered":"catalogue""#] {
            assert_eq!(check(manifest(host).as_bytes()), Ok(()), "{host}");
        }
        let two = manifest(r#""config":"/url","discovered":"catalogue""#);
        assert!(check(two.as_bytes()).unwrap_err().contains("name one of origin, config and discovered"));
    }
}

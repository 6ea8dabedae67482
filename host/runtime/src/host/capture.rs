//! Takes secrets out of an answer before the plugin sees the rest. Pure.
//!
//! A captured header is removed; a captured string is removed from its object, or becomes null in a list. Whatever
//! else of it is in the answer is masked by the caller.

use archipel_bindings::latest::archipel::host::credentials::{Capture, CaptureFrom};
use archipel_model::SecretBytes;
use http::HeaderMap;
use serde_json::Value;

/// What was found of what was to be captured, by name; headers and body are left without it.
pub(crate) fn capture(
    headers: &mut HeaderMap,
    body: &mut Vec<u8>,
    captures: &[Capture],
) -> Vec<(String, SecretBytes)> {
    let mut found = Vec::new();
    let wants_json = captures.iter().any(|capture| matches!(capture.from, CaptureFrom::Json(_)));
    let mut document: Option<Value> = if wants_json { serde_json::from_slice(body).ok() } else { None };
    let mut changed = false;
    for capture in captures {
        let value = match &capture.from {
            // Read before any is removed: two captures may name the same header.
            CaptureFrom::Header(name) => headers.get(name.as_str()).map(|value| value.as_bytes().to_vec()),
            CaptureFrom::Json(pointer) => document
                .as_ref()
                .and_then(|document| document.pointer(pointer)?.as_str())
                .map(|text| text.as_bytes().to_vec()),
        };
        if let Some(value) = value {
            found.push((capture.name.clone(), SecretBytes::new(value)));
        }
    }
    for capture in captures {
        match &capture.from {
            CaptureFrom::Header(name) => {
                headers.remove(name.as_str());
            }
            CaptureFrom::Json(pointer) => {
                changed |= document.as_mut().is_some_and(|document| cut_out(document, pointer));
            }
        }
    }
    if let (true, Some(document)) = (changed, document) {
        *body = document.to_string().into_bytes();
    }
    found
}

/// Removes the string at a pointer.
fn cut_out(document: &mut Value, pointer: &str) -> bool {
    if !document.pointer(pointer).is_some_and(Value::is_string) {
        return false;
    }
    let parent =
        pointer.rsplit_once('/').and_then(|(parent, key)| Some((document.pointer_mut(parent)?, key)));
    match parent {
        Some((Value::Object(members), key)) => {
            let key = key.replace("~1", "/").replace("~0", "~");
            members.shift_remove(&key).is_some()
        }
        _ => document.pointer_mut(pointer).is_some_and(|value| {
            *value = Value::Null;
            true
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(name: &str, pointer: &str) -> Capture {
        Capture { name: name.into(), from: CaptureFrom::Json(pointer.into()) }
    }

    fn run(body: &str, captures: &[Capture]) -> (Vec<(String, String)>, String) {
        let mut headers = HeaderMap::new();
        let mut bytes = body.as_bytes().to_vec();
        let found = capture(&mut headers, &mut bytes, captures);
        let found = found
            .into_iter()
            .map(|(name, secret)| (name, String::from_utf8_lossy(secret.reveal()).into_owned()))
            .collect();
        (found, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn strings_are_cut_out_of_objects_and_lists() {
        let body = r#"{"access_token":"T1","a/b":{"c":["x","T2"]},"expires_in":60}"#;
        let (found, rest) = run(body, &[json("access", "/access_token"), json("second", "/a~1b/c/1")]);
        assert_eq!(found, [("access".into(), "T1".into()), ("second".into(), "T2".into())]);
        assert_eq!(rest, r#"{"a/b":{"c":["x",null]},"expires_in":60}"#);
    }

    #[test]
    fn what_is_not_there_or_no_string_is_not_captured_and_the_body_stays_as_it_is() {
        let body = "{ \"n\": 1 }";
        let (found, rest) = run(body, &[json("a", "/missing"), json("b", "/n"), json("c", "")]);
        assert!(found.is_empty());
        assert_eq!(rest, body);
        assert!(run("not json", &[json("a", "/x")]).0.is_empty());
    }

    #[test]
    fn two_captures_of_one_place_both_find_it() {
        let (found, rest) = run(r#"{"t":"T"}"#, &[json("a", "/t"), json("b", "/t")]);
        assert_eq!(found.len(), 2);
        assert_eq!(rest, "{}");
    }

    #[test]
    fn headers_are_taken_with_all_their_values() {
        let mut headers = HeaderMap::new();
        headers.append("x-subject-token", "T".parse().unwrap());
        headers.append("x-subject-token", "U".parse().unwrap());
        let wanted = Capture { name: "t".into(), from: CaptureFrom::Header("X-Subject-Token".into()) };
        let found = capture(&mut headers, &mut Vec::new(), &[wanted]);
        assert_eq!(found[0].1.reveal(), b"T");
        assert!(headers.is_empty());
    }
}

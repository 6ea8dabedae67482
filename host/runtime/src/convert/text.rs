//! Texts, lists and errors that come out of plugins.

use std::time::Duration;

use archipel_bindings::latest::archipel::host::types as wit;
use archipel_model::{Applied, Error, ErrorKind};

/// Bytes of an error's message that are kept.
const MESSAGE: usize = 2 << 10;
/// Bytes of a name, an id, or any other short text.
pub(crate) const SHORT: usize = 1 << 10;

/// Ends a text that was cut.
const CUT: char = '…';

/// A text for people: without control characters, cut to `most` bytes; what was cut ends with `…`.
pub(crate) fn message(text: &str, most: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(most));
    for letter in text.chars() {
        let letter = if letter == '\n' || letter == '\t' { ' ' } else { letter };
        if letter.is_control() {
            continue;
        }
        if kept.len() + letter.len_utf8() > most {
            kept.truncate(kept.floor_char_boundary(most.saturating_sub(CUT.len_utf8())));
            kept.push(CUT);
            break;
        }
        kept.push(letter);
    }
    kept
}

/// Whether the text of a plugin's error was cut.
pub(crate) fn is_cut(error: &Error) -> bool {
    // A letter has four bytes at most, so a cut text is shorter than its bound by less than those.
    error.message.ends_with(CUT) && error.message.len() + 4 > MESSAGE
}

/// A text that means something to a machine: refused rather than changed.
pub(crate) fn exact(field: &str, text: String, most: usize) -> Result<String, Error> {
    if text.len() > most {
        return Err(unusable(format!("{field} is longer than {most} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(unusable(format!("{field} holds control characters")));
    }
    Ok(text)
}

/// A text of any content, bounded.
pub(crate) fn bounded(field: &str, text: String, most: usize) -> Result<String, Error> {
    if text.len() > most { Err(unusable(format!("{field} is longer than {most} bytes"))) } else { Ok(text) }
}

/// A list of at most `most` items, each converted.
pub(crate) fn list<T, U>(
    field: &str,
    items: Vec<T>,
    most: usize,
    each: impl FnMut(T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    if items.len() > most {
        return Err(unusable(format!("{field} has {} items, more than {most}", items.len())));
    }
    items.into_iter().map(each).collect()
}

/// An answer that cannot be used.
pub(crate) fn unusable(what: impl Into<String>) -> Error {
    let what = what.into();
    Error::permanent(format!("the plugin's answer cannot be used: {what}"))
        .code("plugin-answer")
        .applied(Applied::Unknown)
}

/// A plugin's typed error.
pub(crate) fn error(error: wit::Error) -> Error {
    let kind = match error.kind {
        wit::ErrorKind::Invalid => ErrorKind::Invalid,
        wit::ErrorKind::Unauthenticated => ErrorKind::Unauthenticated,
        wit::ErrorKind::Forbidden => ErrorKind::Forbidden,
        wit::ErrorKind::NotFound => ErrorKind::NotFound,
        wit::ErrorKind::Conflict => ErrorKind::Conflict,
        wit::ErrorKind::QuotaExceeded => ErrorKind::QuotaExceeded,
        wit::ErrorKind::Unsupported => ErrorKind::Unsupported,
        wit::ErrorKind::Transient => ErrorKind::Transient,
        wit::ErrorKind::Permanent => ErrorKind::Permanent,
    };
    let applied = match error.applied {
        wit::Applied::No => Applied::No,
        wit::Applied::Unknown => Applied::Unknown,
        wit::Applied::Yes => Applied::Yes,
    };
    let mut converted = Error::new(kind, message(&error.message, MESSAGE)).applied(applied);
    // A day: longer waits are a mistake of the plugin's.
    converted.retry_after = error.retry_after_ms.map(|ms| Duration::from_millis(ms.min(86_400_000)));
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_control_characters_and_end_on_a_letter() {
        assert_eq!(message("a\u{1b}[31mred\nb", 100), "a[31mred b");
        assert_eq!(message("éééé", 7), "éé…");
        assert_eq!(message("éééé", 8), "éééé");
    }

    #[test]
    fn ids_are_refused_rather_than_changed() {
        assert_eq!(exact("id", "vm-1".into(), 10).unwrap(), "vm-1");
        assert!(exact("id", "vm\u{0}".into(), 10).is_err());
        let long = exact("id", "x".repeat(11), 10).unwrap_err();
        assert_eq!(long.message, "the plugin's answer cannot be used: id is longer than 10 bytes");
        assert_eq!(long.code.as_deref(), Some("plugin-answer"));
        assert!(list("items", vec![1, 2, 3], 2, Ok::<i32, Error>).is_err());
    }

    #[test]
    fn a_plugins_error_keeps_its_meaning() {
        let converted = error(wit::Error {
            kind: wit::ErrorKind::QuotaExceeded,
            message: "no more\r\nroom".into(),
            retry_after_ms: Some(u64::MAX),
            applied: wit::Applied::No,
        });
        assert_eq!((converted.kind, converted.applied), (ErrorKind::QuotaExceeded, Applied::No));
        assert_eq!(converted.message, "no more room");
        assert_eq!(converted.retry_after, Some(Duration::from_secs(86_400)));
        assert!(!is_cut(&converted));
    }

    #[test]
    fn an_error_that_is_too_long_is_cut_and_says_so() {
        for letter in ["a", "é", "€", "𝄞"] {
            let converted = error(wit::Error {
                kind: wit::ErrorKind::Permanent,
                message: letter.repeat(MESSAGE),
                retry_after_ms: None,
                applied: wit::Applied::No,
            });
            assert!(converted.message.len() <= MESSAGE && is_cut(&converted) == (letter != "a"), "{letter}");
        }
    }
}

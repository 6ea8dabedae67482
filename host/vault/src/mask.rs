//! Finds secret bytes in what a plugin is about to see, and writes `*` over them.
//!
//! A far side may echo a request: error pages, debug endpoints, `Location` headers. Looked for are the bytes as they
//! are, percent-encoded, escaped for JSON, in hexadecimal, and in base64 and base64url at each of the three offsets
//! at which they can stand inside a longer encoding (`Basic user:password`). Not a wall against a far side that means
//! to disclose (it can transform at will): that side already has the secret.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Shorter secrets are not looked for: they would be found everywhere.
pub const MIN_MASKED: usize = 4;

/// The spellings of some secrets.
#[derive(Clone, Default)]
pub struct Masker {
    spellings: Vec<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} spellings)", self.spellings.len())
    }
}

impl Masker {
    /// One that finds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for this secret too.
    pub fn add(&mut self, secret: &[u8]) {
        if secret.len() < MIN_MASKED {
            return;
        }
        self.push(secret.to_vec());
        let mut percent = String::new();
        let mut percent_all = String::new();
        for &byte in secret {
            let _ = write!(percent_all, "%{byte:02X}");
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                percent.push(char::from(byte));
            } else {
                let _ = write!(percent, "%{byte:02X}");
            }
        }
        self.push(percent.replace("%20", "+").into_bytes());
        self.push(percent.to_ascii_lowercase_escapes().into_bytes());
        self.push(percent.into_bytes());
        self.push(percent_all.into_bytes());
        let hex = hex::encode(secret);
        self.push(hex.to_ascii_uppercase().into_bytes());
        self.push(hex.into_bytes());
        if let Ok(text) = std::str::from_utf8(secret) {
            let quoted = serde_json::Value::from(text).to_string();
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
            self.push(inner.replace('/', "\\/").into_bytes());
            self.push(inner.to_owned().into_bytes());
        }
        for offset in 0..3 {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let mut shifted = Zeroizing::new(vec![0; offset]);
                shifted.extend_from_slice(secret);
                let text = Zeroizing::new(engine.encode(shifted.as_slice()));
                // Characters that depend on the secret alone: those whose six bits all lie inside it.
                let from = (offset * 8).div_ceil(6);
                let to = (offset + secret.len()) * 8 / 6;
                if let Some(core) = text.as_bytes().get(from..to).filter(|core| core.len() >= MIN_MASKED) {
                    self.push(core.to_vec());
                }
            }
        }
    }

    fn push(&mut self, spelling: Vec<u8>) {
        let spelling = Zeroizing::new(spelling);
        if !self.spellings.contains(&spelling) {
            self.spellings.push(spelling);
        }
        // Longest first, so that an encoding is masked whole before a part of it is.
        self.spellings.sort_by_key(|known| std::cmp::Reverse(known.len()));
    }

    /// What it looks for.
    pub fn spellings(&self) -> impl Iterator<Item = &[u8]> {
        self.spellings.iter().map(|spelling| spelling.as_slice())
    }

    /// Whether it looks for nothing.
    pub fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// The longest spelling: how far a hit can reach over the end of a piece.
    pub fn longest(&self) -> usize {
        self.spellings.first().map_or(0, |spelling| spelling.len())
    }

    /// Whether any spelling occurs.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.spellings.iter().any(|spelling| position(bytes, spelling).is_some())
    }

    /// Writes `*` over every occurrence, keeping the length; says how many there were.
    pub fn mask(&self, bytes: &mut [u8]) -> usize {
        let mut hits = 0;
        for spelling in &self.spellings {
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| position(rest, spelling)) {
                if let Some(found) = bytes.get_mut(from + at..from + at + spelling.len()) {
                    found.fill(b'*');
                }
                from += at + spelling.len();
                hits += 1;
            }
        }
        hits
    }

    /// [`mask`](Self::mask) for text; the same text where nothing is found.
    pub fn mask_text(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        if self.mask(&mut bytes) == 0 {
            text.to_owned()
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

trait LowercaseEscapes {
    /// `%2F` as `%2f`, everything else as it is.
    fn to_ascii_lowercase_escapes(&self) -> String;
}

impl LowercaseEscapes for String {
    fn to_ascii_lowercase_escapes(&self) -> String {
        let mut left = 0;
        self.chars()
            .map(|c| {
                if c == '%' {
                    left = 2;
                    c
                } else if left > 0 {
                    left -= 1;
                    c.to_ascii_lowercase()
                } else {
                    c
                }
            })
            .collect()
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let (&first, _) = wanted.split_first()?;
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|&byte| byte == first)?;
        if bytes.get(at..at.checked_add(wanted.len())?)? == wanted {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secret: &str, text: &str) -> String {
        let mut masker = Masker::new();
        masker.add(secret.as_bytes());
        masker.mask_text(text)
    }

    #[test]
    fn a_secret_is_masked_in_every_spelling_that_echoes_it() {
        let secret = "s3cr/t w\"rd+é";
        for echo in [
            secret.to_owned(),
            "s3cr%2Ft%20w%22rd%2B%C3%A9".to_owned(),
            "s3cr%2ft%20w%22rd%2b%c3%a9".to_owned(),
            "s3cr%2Ft+w%22rd%2B%C3%A9".to_owned(),
            "s3cr/t w\\\"rd+é".to_owned(),
            "s3cr\\/t w\\\"rd+é".to_owned(),
            hex::encode(secret),
        ] {
            let text = masked(secret, &format!("<{echo}>"));
            assert!(
                !text.contains("s3cr") && text.starts_with('<') && text.ends_with('>'),
                "{echo} -> {text}"
            );
        }
    }

    #[test]
    fn a_secret_inside_a_longer_base64_is_masked_at_every_offset() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secret = "correct horse?battery>staple";
        for user in ["", "a", "ab", "abc", "abcd"] {
            for encoded in
                [STANDARD.encode(format!("{user}{secret}:x")), URL_SAFE.encode(format!("{user}{secret}"))]
            {
                let text = masked(secret, &encoded);
                let stars = text.bytes().filter(|&b| b == b'*').count();
                assert!(stars + 2 >= secret.len() * 8 / 6, "{user} {encoded} -> {text}");
            }
        }
    }

    #[test]
    fn text_without_the_secret_is_untouched_and_short_secrets_are_not_looked_for() {
        assert_eq!(masked("hunter22", "nothing here, hunter2"), "nothing here, hunter2");
        assert_eq!(masked("abc", "abcabc"), "abcabc");
    }

    #[test]
    fn length_is_kept_and_all_hits_are_counted() {
        let mut masker = Masker::new();
        masker.add(b"tokentoken");
        let mut bytes = b"tokentoken, tokentokentokentoken".to_vec();
        let length = bytes.len();
        assert_eq!(masker.mask(&mut bytes), 3);
        assert_eq!(bytes.len(), length);
        assert!(!masker.finds(&bytes));
    }
}

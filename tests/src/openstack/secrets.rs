//! Looks for secrets where none may be: plain, as JSON writes them, base64 (both alphabets, at any offset), percent-encoded
//! and in hex. Tokens of Keystone are found by what all of them begin with, so also those that the test never saw.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result};

/// A Fernet token is the byte 0x80 and the time in seconds, eight bytes big-endian, in base64url.
const FERNET: &str = "gAAAAAB";

/// What is looked for.
pub struct Needles {
    all: Vec<(String, Vec<u8>)>,
    /// By the first two bytes, so that one pass looks for all of them.
    by_start: HashMap<[u8; 2], Vec<usize>>,
}

impl Needles {
    /// For these secrets, each with a name for people, and for any token of Keystone.
    pub fn new(secrets: &[(String, String)]) -> Self {
        let mut all = Vec::new();
        for (name, secret) in secrets {
            for (form, bytes) in forms(secret.as_bytes()) {
                all.push((format!("{name}, {form}"), bytes));
            }
        }
        for (form, bytes) in forms(FERNET.as_bytes()) {
            all.push((format!("a token of Keystone, {form}"), bytes));
        }
        // Shorter ones, as of short secrets in base64, would be found by chance.
        all.retain(|(_, bytes)| bytes.len() >= FERNET.len());
        let mut by_start: HashMap<[u8; 2], Vec<usize>> = HashMap::new();
        for (at, (_, needle)) in all.iter().enumerate() {
            by_start.entry([needle[0], needle[1]]).or_default().push(at);
        }
        Self { all, by_start }
    }

    /// How many byte strings are looked for.
    pub fn forms(&self) -> usize {
        self.all.len()
    }

    /// What of them is in these bytes, by name.
    pub fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, start) in bytes.windows(2).enumerate() {
            for &needle in self.by_start.get(start).into_iter().flatten() {
                let (name, needle) = &self.all[needle];
                if bytes[at..].starts_with(needle) {
                    found.insert(name.as_str());
                }
            }
        }
        found
    }

    /// What of them is in the files of a folder, with the file; files that `is_excepted` names are left out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn in_folder(&self, folder: &Path, is_excepted: &dyn Fn(&Path) -> bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if is_excepted(&path) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                found.extend(self.in_folder(&path, is_excepted)?);
            } else if path.is_file() {
                let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                found.extend(self.in_bytes(&bytes).iter().map(|name| format!("{}: {name}", path.display())));
            }
        }
        Ok(found)
    }
}

/// Every way in which a secret is usually written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::Value::from(&*text).to_string();
    let json = json.trim_matches('"');
    let ascii: String = json.chars().map(escaped).collect();
    let mut all = vec![
        ("plain", secret.to_vec()),
        ("in JSON", json.as_bytes().to_vec()),
        ("in ASCII JSON", ascii.into_bytes()),
        ("percent-encoded", percent_encoded(secret, false)),
        ("percent-encoded in small letters", percent_encoded(secret, true)),
        ("in hex", secret.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()),
    ];
    for url in [false, true] {
        for offset in 0..3 {
            let name = if url { "in base64url" } else { "in base64" };
            all.push((name, base64_within(secret, offset, url)));
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|(_, bytes)| seen.insert(bytes.clone()));
    all
}

fn escaped(letter: char) -> String {
    if letter.is_ascii() { letter.to_string() } else { format!("\\u{:04x}", u32::from(letter)) }
}

fn percent_encoded(bytes: &[u8], small: bool) -> Vec<u8> {
    let encoded = bytes.iter().map(|&byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if small => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect::<String>().into_bytes()
}

/// The letters that any base64 with the secret `offset` bytes after a multiple of three has: those at the edges, which
/// depend on what stands beside it, are cut off.
fn base64_within(secret: &[u8], offset: usize, url: bool) -> Vec<u8> {
    let alphabet: &[u8; 64] = if url {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    } else {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    };
    let bits: Vec<bool> =
        secret.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    // A letter is six bits; the secret begins `offset` bytes into one of them.
    let skipped = (6 - offset * 8 % 6) % 6;
    let letters = bits[skipped.min(bits.len())..].chunks_exact(6);
    let value = |chunk: &[bool]| chunk.iter().fold(0, |value, &bit| value << 1 | usize::from(bit));
    letters.map(|chunk| alphabet[value(chunk)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s+/\"cr&é-t0123456";

    fn found(text: &str) -> Vec<String> {
        let needles = Needles::new(&[("it".to_owned(), SECRET.to_owned())]);
        needles.in_bytes(text.as_bytes()).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        for (text, form) in [
            (format!("password={SECRET};"), "it, plain"),
            (serde_json::json!({ "p": SECRET }).to_string(), "it, in JSON"),
            (r#"{"p": "s+/\"cr&\u00e9-t0123456"}"#.to_owned(), "it, in ASCII JSON"),
            ("p=s%2B%2F%22cr%26%C3%A9-t0123456".to_owned(), "it, percent-encoded"),
            // base64 of "user:" and the secret, and of the secret behind one byte less.
            ("dXNlcjpzKy8iY3Imw6ktdDAxMjM0NTY=".to_owned(), "it, in base64"),
        ] {
            assert!(found(&text).iter().any(|name| name == form), "{form} in {text}: {:?}", found(&text));
        }
        assert_eq!(found("nothing of the kind"), Vec::<String>::new());
    }

    #[test]
    fn any_token_of_keystone_is_found() {
        assert_eq!(found("X-Auth-Token: gAAAAABpIR9cSomething"), ["a token of Keystone, plain"]);
        assert_eq!(found("Z0FBQUFBQnBJUjlj"), ["a token of Keystone, in base64"]);
    }
}

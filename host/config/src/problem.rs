//! One mistake in a configuration: where it is, and what to write instead.

use std::fmt;

use crate::tree::Origin;

/// One mistake. `Display` gives `FILE:LINE: KEY.PATH: what is wrong`, or `$VARIABLE: …` where the environment set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(crate) file: String,
    pub(crate) at: Origin,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Problem {
    /// The line in the file, from 1; `None` where the environment set the value or no line is to blame.
    pub fn line(&self) -> Option<usize> {
        match self.at {
            Origin::Line(line) => Some(line),
            _ => None,
        }
    }

    /// The key path, as in `cloud[0].driver`; empty for the file as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn order(&self) -> (usize, &str) {
        (self.line().unwrap_or(0), &self.path)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Origin::Line(line) => write!(f, "{}:{line}: ", self.file)?,
            Origin::Environment(variable) => write!(f, "${variable}: ")?,
            Origin::Nowhere => write!(f, "{}: ", self.file)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// `; did you mean "listen"?`, or the known keys where none is near.
pub(crate) fn hint(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => "; no key is known here".to_owned(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// The known word that `unknown` most likely stands for.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let unknown = plain(unknown);
    known
        .iter()
        .map(|word| (strsim::jaro_winkler(&unknown, &plain(word)), *word))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_and_a_far_one_is_not() {
        let known = ["listen", "data_dir", "plugin_dir", "tls"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("datadir", &known), Some("data_dir"));
        assert_eq!(nearest("plugin-dir", &known), Some("plugin_dir"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(hint("colour", &known), "; known here: listen, data_dir, plugin_dir, tls");
    }
}

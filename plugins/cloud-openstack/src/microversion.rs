//! Which version of Nova's API is spoken.
//!
//! Asked for is 2.61 (Rocky, 2018): the flavour inside the server (2.47), server tags in the create (2.52) and extra specs
//! inside the flavours (2.61). An older Nova refuses that with 406 and is then spoken to in the highest version that its
//! version document names, down to 2.52 (Pike, 2017); extra specs then cost a call per flavour where an order has
//! requirements.
//! Cinder, Neutron and Glance need no version: what is used was there in Cinder 3.0, Neutron 2.0 and Glance 2.0.

use archipel_sdk::{Error, Result};
use serde::Deserialize;
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

/// What is asked for.
pub(crate) const WANTED: Microversion = Microversion(2, 61);

/// What is needed.
const LEAST: Microversion = Microversion(2, 52);

/// Endpoints whose version is remembered. One site drives few.
const MOST: usize = 64;

/// A version of Nova's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Microversion(u16, u16);

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Microversion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Microversion(major.parse().map_err(|_| ())?, minor.parse().map_err(|_| ())?))
    }
}

/// Nova's version document.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
}

impl Document {
    /// What to speak with this Nova.
    ///
    /// # Errors
    /// `unsupported` for one that is too old.
    pub(crate) fn choose(&self) -> Result<Microversion> {
        let highest = self.version.version.parse().unwrap_or(Microversion(2, 0));
        if highest < LEAST {
            let shown = &self.version.version;
            return Err(Error::unsupported(format!(
                "nova speaks {shown:?} at most; this driver needs {LEAST} (Pike, 2017) or later"
            )));
        }
        Ok(highest.min(WANTED))
    }
}

thread_local! {
    static SPOKEN: RefCell<Vec<(String, Microversion)>> = const { RefCell::new(Vec::new()) };
}

/// What is spoken at this endpoint. The same for all users, so it is no channel between them.
pub(crate) fn spoken(endpoint: &str) -> Microversion {
    SPOKEN.with_borrow(|known| {
        known.iter().find(|(at, _)| at == endpoint).map_or(WANTED, |(_, version)| *version)
    })
}

/// Remembers what is spoken at this endpoint.
pub(crate) fn remember(endpoint: &str, version: Microversion) {
    SPOKEN.with_borrow_mut(|known| {
        known.retain(|(at, _)| at != endpoint);
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push((endpoint.to_owned(), version));
    });
}

/// Where the version document of this endpoint is: `http://c/compute/v2.1/PROJECT` → `http://c/compute/v2.1/`.
pub(crate) fn document_of(endpoint: &str) -> String {
    match endpoint.split_once("/v2.1") {
        Some((before, _)) => format!("{before}/v2.1/"),
        None => format!("{endpoint}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::ErrorKind;

    fn choose(version: &str) -> Result<Microversion> {
        serde_json::from_str::<Document>(&format!(r#"{{"version":{{"version":"{version}"}}}}"#))
            .unwrap()
            .choose()
    }

    #[test]
    fn the_highest_that_both_speak_is_chosen() {
        assert_eq!(choose("2.93").unwrap(), WANTED);
        assert_eq!(choose("2.60").unwrap().to_string(), "2.60");
        assert_eq!(choose("2.38").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(choose("").unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn the_version_document_is_beside_the_project() {
        assert_eq!(document_of("http://c:8774/v2.1"), "http://c:8774/v2.1/");
        assert_eq!(document_of("https://c/compute/v2.1/p1"), "https://c/compute/v2.1/");
    }
}

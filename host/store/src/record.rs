//! Records: one byte of schema version, then JSON.
//!
//! JSON because a store outlives programs and people look into it when something is wrong; the measured cost is a few
//! microseconds against a flush of some hundred. An older version is upgraded step by step as it is read and written
//! back as the newest with its next change; a newer one is refused, because what it means is not known here.

use archipel_model::Error;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{CommitError, EngineError};

/// The code of an error that says: the store cannot be used now.
pub const STORE_UNAVAILABLE: &str = "store-unavailable";

/// Something that is stored whole under one key.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// For errors.
    const NAME: &'static str;
    /// What is written now.
    const VERSION: u8 = 1;

    /// From `version` to the next.
    fn upgrade(version: u8, value: serde_json::Value) -> Result<serde_json::Value, Error> {
        let _ = value;
        Err(Error::internal(format!("a {} of version {version} cannot be upgraded", Self::NAME)))
    }
}

/// As written.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Bytes, Error> {
    let mut bytes = vec![R::VERSION];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| Error::internal(format!("a {} could not be written: {error}", R::NAME)))?;
    Ok(bytes.into())
}

/// Read back, upgraded where it is older.
pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<R, Error> {
    let damaged = |error: serde_json::Error| {
        Error::internal(format!("a stored {} cannot be read: {error}; run archipel store check", R::NAME))
    };
    let (version, json) = match bytes {
        [version, json @ ..] if *version <= R::VERSION => (*version, json),
        [version, ..] => {
            return Err(Error::internal(format!(
                "a stored {} has version {version}, this archipel knows {}; start the newer archipel again, or export \
                 with it and import here",
                R::NAME,
                R::VERSION
            )));
        }
        [] => {
            return Err(Error::internal(format!("a stored {} is empty; run archipel store check", R::NAME)));
        }
    };
    if version == R::VERSION {
        return serde_json::from_slice(json).map_err(damaged);
    }
    let mut value = serde_json::from_slice(json).map_err(damaged)?;
    for version in version..R::VERSION {
        value = R::upgrade(version, value)?;
    }
    serde_json::from_value(value).map_err(damaged)
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(_) => Self::transient(error.to_string())
                .code(STORE_UNAVAILABLE)
                .retry_after(std::time::Duration::from_secs(5)),
            EngineError::TooLarge { .. } => Self::invalid(error.to_string()).code("too-large"),
        }
    }
}

/// What is left of a commit's refusal when nothing more can be said of it.
pub(crate) fn refusal(error: CommitError) -> Error {
    match error {
        CommitError::Engine(error) => error.into(),
        CommitError::Conflict(_) | CommitError::Bound { .. } => busy(),
    }
}

/// Others wrote in between, again and again.
pub(crate) fn busy() -> Error {
    Error::transient("too many write the same thing at once; try again")
        .code("busy")
        .retry_after(std::time::Duration::from_secs(1))
}

/// How often a commit is decided anew when someone wrote in between. Each try waits for a flush, so it cannot spin.
pub(crate) const TRIES: usize = 64;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        names: Vec<String>,
    }

    impl Record for Old {
        const NAME: &'static str = "thing";
    }

    impl Record for New {
        const NAME: &'static str = "thing";
        const VERSION: u8 = 2;

        fn upgrade(_: u8, value: serde_json::Value) -> Result<serde_json::Value, Error> {
            Ok(serde_json::json!({ "names": [value.get("name")] }))
        }
    }

    #[test]
    fn an_older_record_is_upgraded_and_a_newer_one_refused() {
        let old = encode(&Old { name: "n".into() }).unwrap();
        assert_eq!(decode::<New>(&old).unwrap(), New { names: vec!["n".into()] });
        let new = encode(&New { names: vec![] }).unwrap();
        let refused = decode::<Old>(&new).unwrap_err();
        assert_eq!(
            refused.message,
            "a stored thing has version 2, this archipel knows 1; start the newer archipel again, or export with it \
             and import here"
        );
    }
}

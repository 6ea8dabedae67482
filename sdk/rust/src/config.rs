//! The plugin's own configuration, typed.
//!
//! The host has validated the document against the manifest's `config_schema` before the first call, so an error
//! here means that schema and type disagree.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;

/// The configuration of this binding.
///
/// ```no_run
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     region: String,
/// }
///
/// fn region() -> archipel_sdk::Result<String> {
///     Ok(archipel_sdk::config::<Config>()?.region)
/// }
/// ```
///
/// # Errors
/// `invalid`, naming the path of the value that does not fit.
pub fn config<T: DeserializeOwned>() -> Result<T> {
    parse(&crate::bindings::common::archipel::host::config::get())
}

/// As [`config`], from a text: for unit tests.
///
/// ```
/// # #[derive(serde::Deserialize, Debug)]
/// # struct Config { region: String }
/// let error = archipel_sdk::config::parse::<Config>(r#"{"region": 7}"#).unwrap_err();
/// assert!(error.message().starts_with("configuration: region: invalid type"), "{error}");
/// ```
///
/// # Errors
/// `invalid`, naming the path of the value that does not fit.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    from_json(json.as_bytes()).map_err(|error| Error::invalid(format!("configuration: {error}")))
}

/// JSON with the path of what is wrong in the error's text.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

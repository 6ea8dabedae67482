//! The body of a login. Its values are secrets: they go into keeping at once, and this type cannot be printed.

use std::collections::BTreeMap;

use archipel_model::SecretBytes;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::openapi::schemas;

/// Credentials for a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// Which way to log in; may be left out where there is one.
    #[serde(default)]
    #[schema(max_length = 255)]
    pub(crate) binding: Option<String>,
    /// By the names that GET lists.
    #[serde(default)]
    #[schema(schema_with = schemas::credentials)]
    credentials: BTreeMap<String, String>,
    /// The `state` of a challenge that this answers.
    #[serde(default)]
    pub(crate) state: Option<String>,
}

impl LoginRequest {
    /// The filled fields, in keeping.
    pub(crate) fn take_credentials(&mut self) -> Vec<(String, SecretBytes)> {
        std::mem::take(&mut self.credentials)
            .into_iter()
            .map(|(name, value)| (name, SecretBytes::new(value.into_bytes())))
            .collect()
    }
}

/// Why something is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// For the record.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub(crate) reason: Option<String>,
}

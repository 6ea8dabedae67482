//! What a manifest asks for: the object `capabilities` of the custom section `archipel:manifest`, each with a reason.

use archipel_egress::{Origin, OriginPattern};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything a plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requested {
    /// Hosts to speak to.
    pub hosts: Vec<HostRequest>,
    /// Secrets of the site to use.
    pub secrets: Vec<SecretRequest>,
    /// Secrets of the site to see.
    pub reveal: Vec<SecretRequest>,
    /// Durable storage.
    pub storage: Option<StorageRequest>,
    /// Purposes to sign for.
    pub crypto: Vec<PurposeRequest>,
    /// Folders to be given at `lifecycle.init`.
    pub folders: Vec<FolderRequest>,
}

/// One host, literally, by a pointer into the binding's configuration, or found by the plugin within what is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// The origin itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginPattern>,
    /// JSON pointer to a URL, or a list of URLs, in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// How the plugin finds it, e.g. `catalogue`; it may go wherever the grant says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered: Option<String>,
    /// Why.
    pub reason: String,
}

impl HostRequest {
    /// The origins it means with this configuration; `None` = whatever is granted. A value that is no URL is left out:
    /// it cannot be granted either.
    pub(super) fn resolve(&self, config: &Value) -> Option<Vec<OriginPattern>> {
        let of_url = |url: &str| Origin::of_url(url).ok().map(|(origin, _)| OriginPattern::Exact(origin));
        match (&self.origin, &self.config, &self.discovered) {
            (Some(origin), None, None) => Some(vec![origin.clone()]),
            (None, Some(pointer), None) => Some(match config.pointer(pointer) {
                Some(Value::String(url)) => of_url(url).into_iter().collect(),
                Some(Value::Array(urls)) => {
                    urls.iter().filter_map(Value::as_str).filter_map(of_url).collect()
                }
                _ => Vec::new(),
            }),
            (None, None, Some(_)) => None,
            _ => Some(Vec::new()),
        }
    }
}

/// One secret, or a family such as `login.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Durable storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageRequest {
    /// How much.
    pub bytes: u64,
    /// Why.
    pub reason: String,
}

/// One purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeRequest {
    /// Its name.
    pub purpose: String,
    /// Why.
    pub reason: String,
}

/// One folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderRequest {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

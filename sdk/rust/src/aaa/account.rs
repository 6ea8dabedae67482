//! An account as a mapper's configuration names it: what most mappers need, so that each does not write it again.

use crate::credentials::{LocalToken, Secret};
use crate::error::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

/// `{"account": "project-7", "secret": "east-password", "attributes": {"region": "east"}}`
///
/// `secret` is a name in the site's `[secrets]`; without it the cloud asks for no credential. `attributes` is what
/// drivers should know (not secret). `cloud` limits the entry to one cloud, where a mapper's list is for several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its stable name: it is written on orders and asked for as long as they live.
    pub account: String,
    /// The one cloud that the entry is for; none = any.
    #[serde(default)]
    pub cloud: Option<String>,
    /// Name of the credential in the site's `[secrets]`.
    #[serde(default)]
    pub secret: Option<String>,
    /// For drivers.
    #[serde(default)]
    pub attributes: Map<String, Value>,
}

impl Account {
    /// Whether the entry is for this account of this cloud.
    #[must_use]
    pub fn is(&self, account: &str, cloud: &str) -> bool {
        self.account == account && self.is_for(cloud)
    }

    /// Whether the entry is for this cloud.
    #[must_use]
    pub fn is_for(&self, cloud: &str) -> bool {
        self.cloud.as_deref().is_none_or(|only| only == cloud)
    }

    /// A local token of this account.
    ///
    /// # Errors
    /// `forbidden` or `not-found` when its secret cannot be opened.
    pub fn local_token(&self) -> Result<LocalToken> {
        let secret = self.secret.as_deref().map(Secret::open).transpose()?;
        LocalToken::make(&self.account, secret, None, &self.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_the_same_name_at_the_same_cloud() {
        let account: Account = crate::config::parse(r#"{"account":"p7","cloud":"east"}"#).unwrap();
        assert!(account.is("p7", "east") && !account.is("p7", "west") && !account.is("p8", "east"));
        let anywhere = Account { cloud: None, ..account };
        assert!(anywhere.is("p7", "west"));
    }
}

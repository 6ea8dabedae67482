//! The users of the configuration.

use archipel_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Compared with when there is no user at all to compare with; nobody knows a password for it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YXJjaGlwZWwtbm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// See the head of `lib.rs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) issuer: String,
    #[serde(default = "eight_hours")]
    pub(crate) lifetime_s: u64,
    pub(crate) users: Vec<User>,
}

/// One user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    password: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    entitlements: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) disabled: bool,
}

fn eight_hours() -> u64 {
    8 * 60 * 60
}

impl Config {
    /// The user of that name, compared exactly.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// What to compare a password with: for an unknown user somebody else's hash, since that one costs what the
    /// site's hashes cost.
    pub(crate) fn hash_to_check<'c>(&'c self, user: Option<&'c User>) -> &'c str {
        user.or(self.users.first()).map_or(NOBODY, |user| user.password.as_str())
    }
}

impl User {
    /// As the site states it; times are the session's.
    pub(crate) fn federation_user(&self, issuer: &str) -> FederationUser {
        FederationUser {
            email: self.email.clone(),
            groups: self.groups.clone(),
            entitlements: self.entitlements.clone(),
            attributes: self.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..FederationUser::new(issuer, &self.name, self.display_name.as_ref().unwrap_or(&self.name))
        }
    }

    /// Tells whether the password is still the one that a session began with (FNV-1a, 64 bits, of the salted hash).
    /// It protects nothing: the token around it is signed and sealed.
    pub(crate) fn password_fingerprint(&self) -> String {
        let hash = self.password.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{
        "issuer": "https://s",
        "users": [
            {"name": "ada", "password": "$argon2id$1", "display_name": "Ada Lovelace", "groups": ["physics"],
             "attributes": {"orcid": "0000"}},
            {"name": "bob", "password": "$argon2id$2"}
        ]
    }"#;

    #[test]
    fn an_unknown_user_is_compared_with_a_hash_of_the_same_cost() {
        let config: Config = archipel_sdk::config::parse(CONFIG).unwrap();
        assert_eq!(config.hash_to_check(config.user("bob")), "$argon2id$2");
        assert_eq!(config.hash_to_check(config.user("eve")), "$argon2id$1");
        assert_eq!(Config { users: vec![], ..config }.hash_to_check(None), NOBODY);
    }

    #[test]
    fn groups_and_attributes_are_those_of_the_configuration() {
        let config: Config = archipel_sdk::config::parse(CONFIG).unwrap();
        let ada = config.user("ada").unwrap().federation_user(&config.issuer);
        assert_eq!((ada.issuer.as_str(), ada.subject.as_str()), ("https://s", "ada"));
        assert_eq!(ada.name, "Ada Lovelace");
        assert!(ada.is_in("physics"));
        assert_eq!(ada.attribute("orcid"), Some("0000"));
        assert_eq!(config.user("bob").unwrap().federation_user("i").name, "bob");
    }
}

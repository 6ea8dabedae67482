//! Maps every user to one account per cloud.
//!
//! For a site whose cloud knows one technical account: all orders live in it, and Archipel alone tells the users
//! apart. The configuration names the account of each cloud, or one for all of them:
//!
//! ```json
//! {
//!   "accounts": {
//!     "east": { "account": "archipel", "secret": "east-password", "attributes": { "project": "p7" } }
//!   },
//!   "default": { "account": "shared" },
//!   "also_serves": [{ "account": "archipel-2024", "cloud": "east", "secret": "east-password" }]
//! }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `accounts` | the account of a cloud, by the cloud's name |
//! | `default` | the account of every other cloud; without it those clouds are refused |
//! | `also_serves` | accounts that nobody becomes any more, but that older orders were made under |
//! | `account` | its name, written on every order it makes |
//! | `secret` | the name of its credential in the site's `[secrets]`, which a grant must list; none = no credential |
//! | `attributes` | what the driver should know of it, not secret |
//!
//! Before you change an account's name, put the old one under `also_serves`: orders are polled and deleted under the
//! account that made them, and turn *unreachable* while no mapper serves it.

use archipel_sdk::aaa::Account;
use archipel_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    accounts: BTreeMap<String, Account>,
    #[serde(default)]
    default: Option<Account>,
    #[serde(default)]
    also_serves: Vec<Account>,
}

impl Config {
    /// The account that everybody becomes at this cloud.
    fn account_of(&self, cloud: &str) -> Result<&Account> {
        let default = self.default.as_ref().filter(|account| account.is_for(cloud));
        self.accounts.get(cloud).or(default).ok_or_else(|| {
            Error::unsupported(format!(
                "no account is configured for cloud {cloud:?}; name it under `accounts`"
            ))
        })
    }

    /// The entry of an account that was decided earlier, perhaps by another mapper.
    fn serving(&self, account: &str, cloud: &str) -> Result<&Account> {
        self.accounts
            .get(cloud)
            .into_iter()
            .chain(&self.default)
            .chain(&self.also_serves)
            .find(|entry| entry.is(account, cloud))
            .ok_or_else(|| {
                Error::unsupported(format!(
                    "account {account:?} of cloud {cloud:?} is not served here; name it under `also_serves`"
                ))
            })
    }
}

struct AllToOne;

impl Mapper for AllToOne {
    fn map_user(_: &FederationUser, cloud: &str, _: &Context) -> Result<String> {
        Ok(config::<Config>()?.account_of(cloud)?.account.clone())
    }

    fn get_token(account: &str, cloud: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        config::<Config>()?.serving(account, cloud)?.local_token()
    }
}

archipel_sdk::export! {
    AllToOne: Mapper;
    manifest = {
        "capabilities": {
            "secrets": [{ "name": "*", "reason": "logs in to the accounts that the configuration names" }],
        },
    };
    config_schema = "config.schema.json"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        archipel_sdk::config::parse(json).unwrap()
    }

    #[test]
    fn the_account_of_the_cloud_goes_before_the_default() {
        let config = config(r#"{"accounts":{"east":{"account":"a"}},"default":{"account":"d"}}"#);
        assert_eq!(config.account_of("east").unwrap().account, "a");
        assert_eq!(config.account_of("west").unwrap().account, "d");
    }

    #[test]
    fn a_cloud_without_an_account_is_unsupported_and_named() {
        let error = config("{}").account_of("west").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("\"west\""), "{error}");
    }

    #[test]
    fn old_accounts_are_served_although_nobody_becomes_them() {
        let config = config(
            r#"{"accounts":{"east":{"account":"new","secret":"s2"}},
                "also_serves":[{"account":"old","cloud":"east","secret":"s1"}]}"#,
        );
        assert_eq!(config.account_of("east").unwrap().account, "new");
        assert_eq!(config.serving("old", "east").unwrap().secret.as_deref(), Some("s1"));
        assert_eq!(config.serving("new", "east").unwrap().secret.as_deref(), Some("s2"));
    }

    #[test]
    fn an_account_of_another_cloud_is_not_served() {
        let config = config(r#"{"accounts":{"east":{"account":"a"},"west":{"account":"b"}}}"#);
        let error = config.serving("b", "east").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("\"b\""), "{error}");
    }
}

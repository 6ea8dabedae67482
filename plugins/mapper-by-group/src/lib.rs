//! Maps a user to the account of the group it acts for.
//!
//! For a site whose cloud has a project per group. The rules are tried in order; the first that fits decides:
//!
//! ```json
//! {
//!   "rules": [
//!     { "group": "physics", "cloud": "east", "account": "phys-east", "secret": "phys-east-password" },
//!     { "group": "physics", "account": "phys" },
//!     { "group": "biology", "account": "bio", "attributes": { "project": "b12" } }
//!   ],
//!   "default": { "account": "guests" },
//!   "also_serves": [{ "account": "chemistry" }]
//! }
//! ```
//!
//! - A request that names a group is judged by that group alone, and only if the user belongs to it.
//! - Otherwise the first rule whose group the user belongs to decides: so the order of the rules is the order of
//!   precedence, not the order in which the user's groups happen to come.
//! - `cloud` limits a rule to one cloud. `default` takes who fits no rule; without it they are refused.
//! - `secret` is the name of the account's credential in the site's `[secrets]`, which a grant must list.
//! - `also_serves` lists accounts that no rule gives any more, but that older orders were made under: they go on
//!   being polled and deleted under those.

use archipel_sdk::aaa::Account;
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rules: Vec<Rule>,
    #[serde(default)]
    default: Option<Account>,
    #[serde(default)]
    also_serves: Vec<Account>,
}

/// Members of `group` become `account`.
#[derive(Debug, Deserialize)]
#[serde(from = "RuleText")]
struct Rule {
    group: String,
    account: Account,
}

/// A rule as it is written: the account's fields beside the group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    group: String,
    account: String,
    cloud: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl From<RuleText> for Rule {
    fn from(text: RuleText) -> Self {
        let RuleText { group, account, cloud, secret, attributes } = text;
        Self { group, account: Account { account, cloud, secret, attributes } }
    }
}

impl Config {
    /// The account that this user becomes at this cloud, acting for `group` if the request names one.
    fn account_for(&self, user: &FederationUser, cloud: &str, group: Option<&str>) -> Result<&Account> {
        if let Some(group) = group
            && !user.is_in(group)
        {
            return Err(Error::forbidden(format!(
                "you are not a member of group {group:?}; name one of yours"
            )));
        }
        let fits = |rule: &&Rule| match group {
            Some(group) => rule.group == group,
            None => user.is_in(&rule.group),
        };
        self.rules
            .iter()
            .filter(|rule| rule.account.is_for(cloud))
            .find(fits)
            .map(|rule| &rule.account)
            .or_else(|| self.default.as_ref().filter(|account| account.is_for(cloud)))
            .ok_or_else(|| {
                let whose = match group {
                    Some(group) => format!("group {group:?} has"),
                    None => "none of your groups has".to_owned(),
                };
                Error::forbidden(format!(
                    "{whose} an account at cloud {cloud:?}; ask the site's administrator for one"
                ))
            })
    }

    /// The entry of an account that was decided earlier, perhaps by another mapper.
    fn serving(&self, account: &str, cloud: &str) -> Result<&Account> {
        let rules = self.rules.iter().map(|rule| &rule.account);
        rules.chain(&self.default).chain(&self.also_serves).find(|entry| entry.is(account, cloud)).ok_or_else(
            || {
                Error::unsupported(format!(
                    "account {account:?} of cloud {cloud:?} is not served here; name it under `also_serves`"
                ))
            },
        )
    }
}

struct ByGroup;

impl Mapper for ByGroup {
    fn map_user(user: &FederationUser, cloud: &str, context: &Context) -> Result<String> {
        Ok(config::<Config>()?.account_for(user, cloud, context.group.as_deref())?.account.clone())
    }

    fn get_token(account: &str, cloud: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        config::<Config>()?.serving(account, cloud)?.local_token()
    }
}

archipel_sdk::export! {
    ByGroup: Mapper;
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

    const CONFIG: &str = r#"{
        "rules": [
            {"group": "physics", "cloud": "east", "account": "phys-east", "secret": "s"},
            {"group": "physics", "account": "phys"},
            {"group": "biology", "account": "bio"}
        ],
        "also_serves": [{"account": "chemistry", "cloud": "east"}]
    }"#;

    fn config() -> Config {
        archipel_sdk::config::parse(CONFIG).unwrap()
    }

    fn member(groups: &[&str]) -> FederationUser {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        FederationUser { groups, ..FederationUser::new("https://site", "ada", "Ada") }
    }

    #[test]
    fn the_first_rule_that_fits_decides_whatever_the_order_of_the_users_groups() {
        let config = config();
        let ada = member(&["biology", "physics"]);
        assert_eq!(config.account_for(&ada, "east", None).unwrap().account, "phys-east");
        assert_eq!(config.account_for(&ada, "west", None).unwrap().account, "phys");
    }

    #[test]
    fn the_group_of_the_request_decides_alone() {
        let config = config();
        let ada = member(&["physics", "biology"]);
        assert_eq!(config.account_for(&ada, "east", Some("biology")).unwrap().account, "bio");
    }

    #[test]
    fn a_group_that_the_user_does_not_belong_to_is_forbidden() {
        let error = config().account_for(&member(&["physics"]), "east", Some("biology")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert!(error.message().contains("biology"), "{error}");
    }

    #[test]
    fn who_fits_no_rule_is_forbidden_or_takes_the_default() {
        let mut config = config();
        let error = config.account_for(&member(&[]), "east", None).unwrap_err();
        assert_eq!(
            error.message(),
            "none of your groups has an account at cloud \"east\"; ask the site's administrator for one"
        );
        config.default = Some(archipel_sdk::config::parse(r#"{"account":"guests"}"#).unwrap());
        assert_eq!(config.account_for(&member(&[]), "east", None).unwrap().account, "guests");
    }

    #[test]
    fn every_account_of_the_rules_and_the_old_ones_are_served_at_their_cloud() {
        let config = config();
        assert_eq!(config.serving("phys-east", "east").unwrap().secret.as_deref(), Some("s"));
        assert!(config.serving("chemistry", "east").is_ok());
        assert_eq!(config.serving("phys-east", "west").unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(config.serving("nobody", "east").unwrap_err().message().contains("nobody"));
    }
}

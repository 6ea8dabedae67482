//! Maps a user to the account of the group it acts for, and logs in to it.
//!
//! For a site whose cloud has a project per group. The rules are tried in order; the first that fits decides:
//!
//! ```json
//! {
//!   "keystone": { "auth_url": "https://east.example:5000/v3", "region": "RegionOne", "user_domain": "Default" },
//!   "rules": [
//!     { "group": "physics", "account": "physics", "secret": "physics-password",
//!       "keystone": { "user": "archipel-physics", "project": "physics" } },
//!     { "group": "biology", "account": "biology", "secret": "biology-credential",
//!       "keystone": { "application_credential_id": "6ccac4a1220346e89419e166c6ccc357" } },
//!     { "group": "geology", "account": "geology", "secret": "geology-token", "attributes": { "project": "b12" } }
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
//! - `secret` is the name of the account's credential in the site's `[secrets]`, which a grant must bind.
//! - `also_serves` lists accounts that no rule gives any more, but that older orders were made under: they go on
//!   being polled and deleted under those.
//!
//! An account with `keystone` is logged in to: its secret is a password or that of an application credential, and the
//! driver gets Keystone's token. The table beside the rules says what all of them share (see
//! [`archipel_keystone::Place`] for the keys). Without it the secret itself is the credential.
//!
//! | grant | for |
//! |---|---|
//! | `hosts = [ORIGIN]` | the Keystone |
//! | secret NAME: `POST`, `/v3/auth/tokens`, `json` | each account's password, to the one place that checks it |
//! | secret `captured.token`: `GET`, `/v3/auth/catalog`, `header:x-auth-token` | where the cloud's services are |
//!
//! What always holds:
//! - To decide needs no network. A Keystone that is away costs no decision, and a login only when a token is needed.
//! - A login that fails is `transient`: it is the site's, and no order fails for it. Why it failed is in the site's log.

use archipel_keystone::{Account, AccountText, Place};
use archipel_sdk::lifecycle::File;
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// What [`Lifecycle::init`] read, for the call that follows in the same instance.
static CONFIG: OnceLock<Config> = OnceLock::new();

/// Read from [`ConfigText`], with the shared `keystone` in every account.
#[derive(Debug, Deserialize)]
#[serde(try_from = "ConfigText")]
struct Config {
    rules: Vec<Rule>,
    default: Option<Account>,
    also_serves: Vec<Account>,
}

/// Members of `group` become `account`.
#[derive(Debug)]
struct Rule {
    group: String,
    account: Account,
}

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigText {
    #[serde(default)]
    keystone: Place,
    rules: Vec<RuleText>,
    #[serde(default)]
    default: Option<AccountText>,
    #[serde(default)]
    also_serves: Vec<AccountText>,
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
    keystone: Option<Place>,
}

impl TryFrom<ConfigText> for Config {
    type Error = Error;

    fn try_from(text: ConfigText) -> Result<Self> {
        let read = |account| Account::new(account, &text.keystone);
        let rule = |rule: RuleText| {
            let RuleText { group, account, cloud, secret, attributes, keystone } = rule;
            let account = read(AccountText { account, cloud, secret, attributes, keystone })?;
            Ok(Rule { group, account })
        };
        Ok(Self {
            rules: text.rules.into_iter().map(rule).collect::<Result<_>>()?,
            default: text.default.map(read).transpose()?,
            also_serves: text.also_serves.into_iter().map(read).collect::<Result<_>>()?,
        })
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
        Ok(current()?.account_for(user, cloud, context.group.as_deref())?.name().to_owned())
    }

    fn get_token(account: &str, cloud: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        current()?.serving(account, cloud)?.local_token()
    }
}

/// Refuses a configuration whose accounts cannot be logged in to before anybody is mapped by it: a mistake that only a
/// user's order found would be the order's end.
impl Lifecycle for ByGroup {
    fn init(_: Vec<File>) -> Result<()> {
        current().map(drop)
    }
}

fn current() -> Result<&'static Config> {
    match CONFIG.get() {
        Some(config) => Ok(config),
        None => config().map(|read| CONFIG.get_or_init(|| read)),
    }
}

archipel_sdk::export! {
    ByGroup: Mapper, Lifecycle;
    manifest = {
        "capabilities": {
            "hosts": [{
                "discovered": "the Keystone of each account, from the configuration",
                "reason": "logs in to the accounts that have one",
            }],
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

    fn account(json: &str) -> Option<Account> {
        Account::new(archipel_sdk::config::parse(json).unwrap(), &Place::default()).ok()
    }

    fn member(groups: &[&str]) -> FederationUser {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        FederationUser { groups, ..FederationUser::new("https://site", "ada", "Ada") }
    }

    #[test]
    fn the_first_rule_that_fits_decides_whatever_the_order_of_the_users_groups() {
        let config = config();
        let ada = member(&["biology", "physics"]);
        assert_eq!(config.account_for(&ada, "east", None).unwrap().name(), "phys-east");
        assert_eq!(config.account_for(&ada, "west", None).unwrap().name(), "phys");
    }

    #[test]
    fn the_group_of_the_request_decides_alone() {
        let config = config();
        let ada = member(&["physics", "biology"]);
        assert_eq!(config.account_for(&ada, "east", Some("biology")).unwrap().name(), "bio");
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
        config.default = self::account(r#"{"account":"guests"}"#);
        assert_eq!(config.account_for(&member(&[]), "east", None).unwrap().name(), "guests");
    }

    #[test]
    fn every_account_of_the_rules_and_the_old_ones_are_served_at_their_cloud() {
        let config = config();
        assert_eq!(config.serving("phys-east", "east").unwrap().secret(), Some("s"));
        assert!(config.serving("chemistry", "east").is_ok());
        assert_eq!(config.serving("phys-east", "west").unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(config.serving("nobody", "east").unwrap_err().message().contains("nobody"));
    }

    #[test]
    fn accounts_share_what_stands_beside_the_rules() {
        let text = r#"{
            "keystone": {"auth_url": "https://k.example:5000/v3", "region": "R"},
            "rules": [{"group": "physics", "account": "phys", "secret": "s", "keystone": {"user": "u", "project": "p"}}],
            "default": {"account": "guests", "secret": "g", "keystone": {"application_credential_id": "c"}}
        }"#;
        assert!(archipel_sdk::config::parse::<Config>(text).is_ok());
        let without_address = text.replace("auth_url", "interface");
        let error = archipel_sdk::config::parse::<Config>(&without_address).unwrap_err();
        assert_eq!(error.message(), "configuration: account \"phys\": keystone: name its `auth_url`");
    }
}

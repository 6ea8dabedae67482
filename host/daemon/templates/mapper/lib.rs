//! Says which account of a cloud a user becomes: that of the first group that has one.

use archipel_sdk::aaa::Account;
use archipel_sdk::prelude::*;
use serde::Deserialize;

/// The table `mapper_config` of the site file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// In the order in which they are tried.
    accounts: Vec<GroupAccount>,
}

/// The account of a group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupAccount {
    /// Whose.
    group: String,
    /// `{ account, secret?, attributes? }`: its name, the name of its credential in the site's `[secrets]`, and what
    /// drivers should know.
    local: Account,
}

impl Config {
    /// The account of a user.
    fn account_of(&self, user: &FederationUser) -> Result<&str> {
        let found = self.accounts.iter().find(|entry| user.is_in(&entry.group));
        found.map(|entry| entry.local.account.as_str()).ok_or_else(|| {
            Error::forbidden("none of your groups has an account here; ask the site's administrator for one")
        })
    }
}

struct Plugin;

impl Mapper for Plugin {
    fn map_user(user: &FederationUser, _: &str, _: &Context) -> Result<String> {
        config::<Config>()?.account_of(user).map(str::to_owned)
    }

    fn get_token(account: &str, cloud: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        let config: Config = config()?;
        match config.accounts.iter().find(|entry| entry.local.is(account, cloud)) {
            Some(entry) => entry.local.local_token(),
            None => Err(Error::unsupported(format!("no group has the account {account:?}"))),
        }
    }
}

archipel_sdk::export! {
    Plugin: Mapper;
    manifest = {
        "capabilities": {
            "secrets": [{ "name": "*", "reason": "the credentials of the accounts that the configuration names" }],
        },
        "config_schema": {
            "type": "object",
            "properties": {
                "accounts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": { "group": { "type": "string" }, "local": { "type": "object" } },
                        "required": ["group", "local"],
                    },
                },
            },
            "required": ["accounts"],
            "additionalProperties": false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_group_with_an_account_counts() {
        let config: Config = archipel_sdk::config::parse(
            r#"{"accounts": [{"group": "physics", "local": {"account": "p7"}}, {"group": "staff", "local": {"account": "s1"}}]}"#,
        )
        .unwrap();
        let user = |groups: &[&str]| FederationUser {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..FederationUser::new("https://site-a.example.org", "ada", "Ada")
        };
        assert_eq!(config.account_of(&user(&["staff", "physics"])).unwrap(), "p7");
        assert_eq!(config.account_of(&user(&["biology"])).unwrap_err().kind(), ErrorKind::Forbidden);
    }
}

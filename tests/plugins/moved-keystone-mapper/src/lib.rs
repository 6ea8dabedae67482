//! For tests: what an administrator drops over `mapper-by-group` when everybody moves to one project of a cloud. It takes
//! the same configuration, decides for the account of its second rule, and still serves every account that was decided
//! earlier.

use archipel_keystone::{Account, AccountText, Place};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    keystone: Place,
    rules: Vec<Map<String, Value>>,
}

impl Config {
    fn accounts(self) -> Result<Vec<Account>> {
        let Self { keystone, rules } = self;
        let read = |mut rule: Map<String, Value>| {
            rule.remove("group");
            let text: AccountText = serde_json::from_value(Value::Object(rule))
                .map_err(|error| Error::invalid(format!("a rule: {error}")))?;
            Account::new(text, &keystone)
        };
        rules.into_iter().map(read).collect()
    }
}

struct Moved;

impl Mapper for Moved {
    fn map_user(_: &FederationUser, _: &str, _: &Context) -> Result<String> {
        let accounts = config::<Config>()?.accounts()?;
        let account = accounts.get(1).ok_or_else(|| Error::invalid("there is no second rule"))?;
        Ok(account.name().to_owned())
    }

    fn get_token(account: &str, cloud: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        let accounts = config::<Config>()?.accounts()?;
        let known = accounts.iter().find(|known| known.is(account, cloud));
        known.ok_or_else(|| Error::unsupported(format!("account {account:?} is not known")))?.local_token()
    }
}

archipel_sdk::export! {
    Moved: Mapper;
    manifest = {
        "capabilities": {
            "hosts": [{
                "discovered": "the Keystone of each account, from the configuration",
                "reason": "logs in to the accounts that have one",
            }],
            "secrets": [{ "name": "*", "reason": "logs in to the accounts that the configuration names" }],
        },
        "config_schema": { "type": "object" },
    }
}

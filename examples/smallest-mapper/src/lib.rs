//! The smallest mapper: everybody becomes one account of the configuration.

use archipel_sdk::prelude::*;

#[derive(serde::Deserialize)]
struct Config {
    account: String,
}

struct SmallestMapper;

impl Mapper for SmallestMapper {
    fn map_user(_: &FederationUser, _: &str, _: &Context) -> Result<String> {
        Ok(config::<Config>()?.account)
    }

    fn get_token(account: &str, _: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        if account != config::<Config>()?.account {
            return Err(Error::unsupported(format!("account {account:?} is not the configured one")));
        }
        LocalToken::make(account, None, None, &serde_json::json!({}))
    }
}

archipel_sdk::export! {
    SmallestMapper: Mapper;
    manifest = {
        "config_schema": {
            "type": "object",
            "properties": { "account": { "type": "string", "minLength": 1 } },
            "required": ["account"],
            "additionalProperties": false,
        },
    }
}

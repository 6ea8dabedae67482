//! For tests: what an administrator drops over `mapper-all-to-one` when users move to another account. It takes the
//! same configuration, decides for the account `NAME-moved`, and still serves every account that was decided earlier.

use archipel_sdk::prelude::*;
use serde_json::{Value, json};

struct Moved;

impl Mapper for Moved {
    fn map_user(_: &FederationUser, _: &str, _: &Context) -> Result<String> {
        let config: Value = config()?;
        let account = config.pointer("/default/account").and_then(Value::as_str);
        let account = account.ok_or_else(|| Error::invalid("no default account is configured"))?;
        Ok(format!("{account}-moved"))
    }

    fn get_token(account: &str, _: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        LocalToken::make(account, None, None, &json!({}))
    }
}

archipel_sdk::export! {
    Moved: Mapper;
    manifest = { "config_schema": { "type": "object" } }
}

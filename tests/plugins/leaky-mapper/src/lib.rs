//! For tests: a mapper that gets a secret into its memory, so that it is seen that the memory watch finds something.
//!
//! It sends the secret, where a grant lets it go, to a far side that echoes it; the host masks echoes. With `reveal` it asks
//! for the secret itself, which the host gives where a grant says so, and tells the audit. With `certificate` the secret is
//! one, and is shown in the handshake.

use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Who echoes.
    url: String,
    /// Look at the secret too.
    #[serde(default)]
    reveal: bool,
    /// Show the secret as a client's certificate.
    #[serde(default)]
    certificate: bool,
}

struct Leaky;

impl Mapper for Leaky {
    fn map_user(_: &FederationUser, _: &str, _: &Context) -> Result<String> {
        Ok("leaky".to_owned())
    }

    fn get_token(account: &str, _: &str, _: &Context, _: Option<&UserSession>) -> Result<LocalToken> {
        let Config { url, reveal, certificate } = config()?;
        let secret = Secret::open("leaked")?;
        let request = http::get(&url);
        let request = match certificate {
            true => request.client_certificate(&secret),
            false => request.secret_header("x-secret", &secret),
        };
        let echo = request.send()?.error_for_status()?;
        // Kept until the call is over.
        std::mem::forget(echo);
        if reveal {
            std::mem::forget(secret.reveal()?);
        }
        LocalToken::make(account, Some(secret), None, &json!({}))
    }
}

archipel_sdk::export! {
    Leaky: Mapper;
    manifest = {
        "capabilities": {
            "hosts": [{ "config": "/url", "reason": "echoes" }],
            "secrets": [{ "name": "leaked", "reason": "is echoed" }],
            "reveal": [{ "name": "leaked", "reason": "is kept" }],
        },
        "config_schema": { "type": "object" },
    }
}

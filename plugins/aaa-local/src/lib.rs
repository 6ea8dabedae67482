//! The users of one site, from its configuration: logging in, whom a session speaks of, and whether it is genuine.
//!
//! For a site without an identity provider, and for trying things out:
//!
//! ```json
//! {
//!   "issuer": "https://site-a.example.org",
//!   "lifetime_s": 28800,
//!   "users": [
//!     {
//!       "name": "ada",
//!       "password": "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$...",
//!       "display_name": "Ada Lovelace",
//!       "email": "ada@example.org",
//!       "groups": ["physics"],
//!       "entitlements": [],
//!       "attributes": { "orcid": "0000-0001" },
//!       "disabled": false
//!     }
//!   ]
//! }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `issuer` | who vouches for these users; the binding must list it under `issuers`. Required: an owner is (issuer, subject), so a name that is made up today would lock everybody out tomorrow |
//! | `lifetime_s` | how long a session lasts, 8 hours if absent; the grant of the purpose `session` may be shorter |
//! | `name` | what the user types, and the subject: never give a name to somebody else |
//! | `password` | an argon2id hash in PHC form |
//! | `disabled` | keeps the user out, and ends the sessions there are |
//!
//! What always holds:
//! - No password and no key is in the sandbox: the host compares, signs and verifies.
//! - A wrong name costs the same time and gets the same answer as a wrong password.
//! - A session ends with the user, with `disabled`, and with the password it began with. Groups and attributes are
//!   those of the configuration now, not those of the login.

mod directory;

use archipel_sdk::prelude::*;
use archipel_sdk::{aaa::Context as RequestContext, crypto, error};
use directory::{Config, User};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The purpose of the host's key that signs our tokens; the manifest asks for it.
const PURPOSE: &str = "session";

/// What a token says. The host adds issuer, audience and times, and checks them.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The user's name.
    sub: String,
    /// When the password was given, in seconds since the Unix epoch.
    auth_time: u64,
    /// Of the password's hash: another password, another fingerprint.
    password: String,
    /// When it ends, in seconds since the Unix epoch. The host's.
    #[serde(default, skip_serializing)]
    exp: u64,
}

struct Local;

impl TokenGenerator for Local {
    fn credential_fields() -> Vec<Field> {
        vec![Field::text("username", "User name"), Field::secret("password", "Password")]
    }

    fn create_token(credentials: Credentials, context: &RequestContext) -> Result<Outcome> {
        let config: Config = config()?;
        let name = credentials.require_text("username")?;
        let password = credentials.require_secret("password")?;
        let user = config.user(name);
        // Always one comparison, also for a name that nobody has: the time must not tell which it was.
        let fits = crypto::check_password(password, config.hash_to_check(user)).inspect_err(|problem| {
            error!(user = name; "password hash in the configuration: {problem}");
        })?;
        let user = user.filter(|user| fits && !user.disabled).ok_or_else(refused)?;
        let claims = Claims {
            sub: user.name.clone(),
            auth_time: context.now / 1000,
            password: user.password_fingerprint(),
            exp: 0,
        };
        let token = crypto::sign(PURPOSE, &claims, Duration::from_secs(config.lifetime_s))?;
        // The grant may allow less than `lifetime_s`; the token itself knows.
        let signed: Claims = crypto::verify(PURPOSE, &token)?;
        Ok(Outcome::issued(token, Some(signed.exp.saturating_mul(1000))))
    }
}

impl FederationIdentity for Local {
    fn get_federation_user(token: &Secret) -> Result<FederationUser> {
        let claims: Claims = crypto::verify(PURPOSE, token)?;
        let config: Config = config()?;
        let user = current(&config, &claims)?;
        Ok(FederationUser {
            authenticated_at: claims.auth_time.saturating_mul(1000),
            expires_at: Some(claims.exp.saturating_mul(1000)),
            ..user.federation_user(&config.issuer)
        })
    }
}

impl Authentication for Local {
    fn is_authentic(user: &FederationUser, token: &Secret, _: &RequestContext) -> Result<Verdict> {
        let claims: Claims = match crypto::verify(PURPOSE, token) {
            Ok(claims) => claims,
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                return Ok(Verdict::not_authentic(error.message()));
            }
            Err(error) => return Err(error),
        };
        Ok(judge(&config()?, user, &claims))
    }
}

/// One answer for every wrong login.
fn refused() -> Error {
    Error::unauthenticated("wrong user name or password")
}

/// The user that a genuine token speaks of, if it may still be used.
fn current<'c>(config: &'c Config, claims: &Claims) -> Result<&'c User> {
    let user = config.user(&claims.sub).filter(|user| !user.disabled);
    let user = user.ok_or_else(|| {
        Error::unauthenticated("this user is no longer known; ask the site's administrator")
    })?;
    if user.password_fingerprint() == claims.password {
        Ok(user)
    } else {
        Err(Error::unauthenticated("the password has changed since; log in again"))
    }
}

/// Whether user, token and configuration agree.
fn judge(config: &Config, user: &FederationUser, claims: &Claims) -> Verdict {
    if user.issuer != config.issuer || user.subject != claims.sub {
        return Verdict::not_authentic("the token speaks of another user");
    }
    match current(config, claims) {
        Ok(_) => Verdict::genuine_until(claims.exp.saturating_mul(1000)),
        Err(error) => Verdict::not_authentic(error.message()),
    }
}

archipel_sdk::export! {
    Local: TokenGenerator, FederationIdentity, Authentication;
    manifest = {
        "capabilities": {
            "crypto": [{ "purpose": "session", "reason": "signs the sessions of this site's own users" }],
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

    fn ada(disabled: bool, password: &str) -> Config {
        config(&format!(
            r#"{{"issuer":"https://s","users":[{{"name":"ada","password":"{password}","disabled":{disabled}}}]}}"#
        ))
    }

    fn claims(config: &Config) -> Claims {
        let password = config.user("ada").unwrap().password_fingerprint();
        Claims { sub: "ada".into(), auth_time: 1, password, exp: 100 }
    }

    #[test]
    fn a_session_is_genuine_until_its_token_ends() {
        let config = ada(false, "$argon2id$a");
        let user = FederationUser::new("https://s", "ada", "Ada");
        let verdict = judge(&config, &user, &claims(&config));
        assert!(matches!(verdict, Verdict::Authentic(Some(validity)) if validity.until == 100_000));
    }

    #[test]
    fn a_session_ends_with_its_user_with_disabled_and_with_a_new_password() {
        let claims = claims(&ada(false, "$argon2id$a"));
        let now = [
            (config(r#"{"issuer":"https://s","users":[]}"#), "no longer known"),
            (ada(true, "$argon2id$a"), "no longer known"),
            (ada(false, "$argon2id$b"), "password has changed"),
        ];
        for (config, reason) in now {
            let error = current(&config, &claims).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert!(error.message().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_token_of_one_user_does_not_prove_another() {
        let config = ada(false, "$argon2id$a");
        for user in
            [FederationUser::new("https://s", "bob", "Bob"), FederationUser::new("https://x", "ada", "Ada")]
        {
            assert!(matches!(judge(&config, &user, &claims(&config)), Verdict::NotAuthentic(_)));
        }
    }

    #[test]
    fn the_hosts_end_of_a_token_is_never_sent_to_be_signed() {
        let claims = claims(&ada(false, "$argon2id$a"));
        assert!(!serde_json::to_string(&claims).unwrap().contains("exp"));
    }
}

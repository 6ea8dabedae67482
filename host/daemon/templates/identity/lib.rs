//! Logs in the users of its configuration, and says who they are. Passwords are compared and tokens signed by the host: neither
//! passwords nor keys are in the sandbox.

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_sdk::crypto;
use archipel_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The purpose of the host's key that signs our tokens.
const PURPOSE: &str = "session";

/// How long a login lasts.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);

/// Compared with where there is no such user, so that the time does not tell.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$OKFYHRdfIv0L4dzR1kcnYg$vhcl/E0lZyyg72nqqvSOMszvxE2h4A1NaQCYL/Z3Tq4";

/// The table `config` of the site file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Who vouches for these users: also in the binding's `issuers`.
    issuer: String,
    /// argon2id hashes (PHC strings) by user name.
    users: BTreeMap<String, String>,
}

/// What a token says. The host adds issuer, audience and times, and checks them.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
}

struct Plugin;

impl TokenGenerator for Plugin {
    fn credential_fields() -> Vec<Field> {
        vec![Field::text("username", "User name"), Field::secret("password", "Password")]
    }

    fn create_token(credentials: Credentials, context: &Context) -> Result<Outcome> {
        let config: Config = config()?;
        let name = credentials.require_text("username")?;
        let hash = config.users.get(name);
        let fits = crypto::check_password(
            credentials.require_secret("password")?,
            hash.map_or(NOBODY, String::as_str),
        )?;
        if !fits || hash.is_none() {
            return Err(Error::unauthenticated("wrong user name or password"));
        }
        let token = crypto::sign(PURPOSE, &Claims { sub: name.to_owned() }, LIFETIME)?;
        let lifetime_ms = u64::try_from(LIFETIME.as_millis()).unwrap_or(u64::MAX);
        Ok(Outcome::issued(token, Some(context.now.saturating_add(lifetime_ms))))
    }
}

impl FederationIdentity for Plugin {
    fn get_federation_user(token: &Secret) -> Result<FederationUser> {
        let claims: Claims = crypto::verify(PURPOSE, token)?;
        let config: Config = config()?;
        if !config.users.contains_key(&claims.sub) {
            return Err(Error::unauthenticated("this user is no longer known; ask the site's administrator"));
        }
        Ok(FederationUser::new(config.issuer, claims.sub.clone(), claims.sub))
    }
}

impl Authentication for Plugin {
    fn is_authentic(user: &FederationUser, token: &Secret, _: &Context) -> Result<Verdict> {
        // What the token says is said by the host's own signature; whom it speaks of must be who is asked about.
        match Self::get_federation_user(token) {
            Ok(known) if known.issuer == user.issuer && known.subject == user.subject => {
                Ok(Verdict::Authentic(None))
            }
            Ok(_) => Ok(Verdict::not_authentic("the token speaks of another user")),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                Ok(Verdict::not_authentic(error.message()))
            }
            Err(error) => Err(error),
        }
    }
}

archipel_sdk::export! {
    Plugin: TokenGenerator, FederationIdentity, Authentication;
    manifest = {
        "capabilities": {
            "crypto": [{ "purpose": "session", "reason": "signs the sessions of its users" }],
        },
        "config_schema": {
            "type": "object",
            "properties": {
                "issuer": { "type": "string", "minLength": 1 },
                "users": { "type": "object", "additionalProperties": { "type": "string" } },
            },
            "required": ["issuer", "users"],
            "additionalProperties": false,
        },
    }
}

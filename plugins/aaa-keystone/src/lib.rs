//! An OpenStack Keystone as identity provider: logging in, whom a token speaks of, and whether it is genuine.
//!
//! ```json
//! {
//!   "auth_url": "https://cloud.example:5000/v3",
//!   "issuer": "https://cloud.example:5000/v3",
//!   "domain_id": "default",
//!   "groups": { "groups": "", "projects": "project:" }
//! }
//! ```
//!
//! A user logs in with name and password (and domain, and project), or with an application credential. The token of the
//! session is Keystone's own; who has one already may come with it as it is (`Archipel-Identity: BINDING`).
//!
//! | of the user | is |
//! |---|---|
//! | issuer | `issuer`, or the `auth_url` with its version; the binding must list it under `issuers` |
//! | subject | Keystone's id of the user: names are given anew, ids are not |
//! | groups | what `groups` says, see [`groups`] |
//! | attributes | `user_domain`, `user_domain_id`, `method`; of a token for a project `project`, `project_id`, `project_domain`, `role` |
//! | assurance | `https://refeds.org/profile/mfa` where Keystone saw a passcode too |
//!
//! | grant | for |
//! |---|---|
//! | `hosts = [ORIGIN]` | the Keystone |
//! | secret `login.*`: `POST`, `/v3/auth/tokens`, `json` | what the user typed, to the one place that checks it |
//! | secret `session`: `GET`, `/v3/auth/tokens`, `header:x-auth-token` and `header:x-subject-token` | whether the token is valid now |
//! | secret `session`: `GET`, `/v3/users/*/groups` or `/v3/auth/projects`, `header:x-auth-token` | the groups |
//!
//! What always holds:
//! - No password and no token is in the sandbox.
//! - A token is judged by the user's own right to ask about it: the site needs no account at this Keystone.
//! - Keystone's word counts, each time: a token revoked there is refused as soon as the host's `auth_cache_ttl` is over.
//! - A Keystone that does not answer refuses everybody (503), it never lets anybody in.
//!
//! Requests to Keystone: one per login and two per judgement (identity and authentication may be served by two plugins,
//! so each asks for itself), and one more for the groups. The host judges at a login and then at most once per
//! `auth_cache_ttl` and token.

mod groups;

use archipel_keystone::{Keystone, Login, Method, NameOrId, Receipt, Scope, Step, Token, User};
use archipel_sdk::aaa::Challenge;
use archipel_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use groups::Sources;

/// Where Keystone saw more than a password.
const MULTI_FACTOR: &str = "https://refeds.org/profile/mfa";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    auth_url: String,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default = "default_domain")]
    domain_id: String,
    #[serde(default)]
    groups: Sources,
}

fn default_domain() -> String {
    "default".to_owned()
}

impl Config {
    fn keystone(&self) -> Keystone {
        Keystone::at(&self.auth_url)
    }

    fn issuer(&self) -> String {
        self.issuer.clone().unwrap_or_else(|| self.keystone().url().to_owned())
    }
}

/// What a challenge for a passcode remembers. The host seals it before it goes to the client.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    receipt: String,
    user_id: String,
    /// The project to scope to, and its domain's name.
    project: Option<String>,
    project_domain: Option<String>,
}

/// What was typed, other than secrets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed<'a> {
    username: Option<&'a str>,
    user_domain: Option<&'a str>,
    project: Option<&'a str>,
    project_domain: Option<&'a str>,
    application_credential: Option<&'a str>,
}

impl<'a> Typed<'a> {
    fn of(credentials: &'a Credentials) -> Self {
        let text = |name| credentials.text(name).filter(|text| !text.is_empty());
        Self {
            username: text("username"),
            user_domain: text("user_domain"),
            project: text("project"),
            project_domain: text("project_domain"),
            application_credential: text("application_credential_id"),
        }
    }

    /// The login, and the field that holds its secret.
    fn login(&self, config: &'a Config) -> Result<(Login<'a>, &'static str)> {
        let home = NameOrId::Id(&config.domain_id);
        if let Some(id) = self.application_credential {
            let method = Method::ApplicationCredential { credential: NameOrId::Id(id), user: None };
            return Ok((Login { method, scope: Scope::Own }, "application_credential_secret"));
        }
        let name = self.username.ok_or_else(|| {
            Error::invalid(
                "give `username` and `password`, or `application_credential_id` and `application_credential_secret`",
            )
        })?;
        let domain = self.user_domain.map_or(home, NameOrId::Name);
        let method = Method::Password(User { user: NameOrId::Name(name), domain });
        Ok((Login { method, scope: scope(self.project, self.project_domain, domain) }, "password"))
    }
}

/// No project, unless one is asked for: the session needs none.
fn scope<'a>(project: Option<&'a str>, domain: Option<&'a str>, users_domain: NameOrId<'a>) -> Scope<'a> {
    match project {
        None => Scope::Unscoped,
        Some(project) => Scope::Project {
            project: NameOrId::Name(project),
            domain: domain.map_or(users_domain, NameOrId::Name),
        },
    }
}

struct Users;

impl TokenGenerator for Users {
    fn credential_fields() -> Vec<Field> {
        vec![
            Field::text("username", "User name").optional(),
            Field::secret("password", "Password").optional(),
            Field::text("user_domain", "Domain").optional(),
            Field::text("project", "Project").optional(),
            Field::text("project_domain", "Domain of the project").optional(),
            Field::text("application_credential_id", "Application credential, instead of name and password")
                .optional(),
            Field::secret("application_credential_secret", "Its secret").optional(),
        ]
    }

    fn create_token(credentials: Credentials, _: &Context) -> Result<Outcome> {
        let config: Config = config()?;
        let typed = Typed::of(&credentials);
        let (login, field) = typed.login(&config)?;
        let secret = credentials.require_secret(field)?;
        match config.keystone().step(&login, secret, None)? {
            Step::Issued(issued) => {
                let expires_at = issued.token.expires_at()?;
                Ok(Outcome::issued(issued.secret, Some(expires_at)))
            }
            Step::More(receipt) => challenge(receipt, &typed),
        }
    }

    fn continue_token(state: &str, credentials: Credentials, _: &Context) -> Result<Outcome> {
        let config: Config = config()?;
        let pending: Pending = serde_json::from_str(state)?;
        let passcode = credentials.require_secret("passcode")?;
        let home = NameOrId::Id(&config.domain_id);
        let login = Login {
            method: Method::Totp(User { user: NameOrId::Id(&pending.user_id), domain: home }),
            scope: scope(pending.project.as_deref(), pending.project_domain.as_deref(), home),
        };
        match config.keystone().step(&login, passcode, Some(&pending.receipt))? {
            Step::Issued(issued) => {
                let expires_at = issued.token.expires_at()?;
                Ok(Outcome::issued(issued.secret, Some(expires_at)))
            }
            Step::More(receipt) => Err(cannot_ask(&receipt)),
        }
    }
}

/// Asks for the passcode, if that is all that is missing.
fn challenge(receipt: Receipt, typed: &Typed<'_>) -> Result<Outcome> {
    if !receipt.needs_only("totp") {
        return Err(cannot_ask(&receipt));
    }
    let domain = || Some(receipt.user.domain.name.clone()).filter(|name| !name.is_empty());
    let pending = Pending {
        project: typed.project.map(str::to_owned),
        project_domain: typed.project_domain.map(str::to_owned).or_else(domain),
        user_id: receipt.user.id,
        receipt: receipt.receipt,
    };
    Ok(Outcome::Challenge(Challenge {
        prompt: "the password is right; type the passcode of your authenticator as well".to_owned(),
        fields: vec![Field::secret("passcode", "Passcode")],
        uri: None,
        interval_s: None,
        state: serde_json::to_string(&pending)?,
    }))
}

fn cannot_ask(receipt: &Receipt) -> Error {
    Error::unsupported(format!("this user also needs {}, which this login cannot ask for", receipt.wanted()))
}

impl FederationIdentity for Users {
    fn get_federation_user(token: &Secret) -> Result<FederationUser> {
        let config: Config = config()?;
        let keystone = config.keystone();
        let said = keystone.token(token)?;
        let groups = config.groups.read(&keystone, &said, token, &config.domain_id)?;
        user(&config, &said, groups)
    }
}

impl Authentication for Users {
    fn is_authentic(user: &FederationUser, token: &Secret, _: &Context) -> Result<Verdict> {
        let config: Config = config()?;
        match config.keystone().token(token) {
            Ok(said) => judge(&config, user, &said),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                Ok(Verdict::not_authentic(error.message()))
            }
            Err(error) => Err(error),
        }
    }
}

/// The user of a token that Keystone calls valid.
fn user(config: &Config, said: &Token, groups: Vec<String>) -> Result<FederationUser> {
    let mut attributes = vec![
        ("user_domain".to_owned(), said.user.domain.name.clone()),
        ("user_domain_id".to_owned(), said.user.domain.id.clone()),
    ];
    if let Some(project) = &said.project {
        attributes.push(("project".to_owned(), project.name.clone()));
        attributes.push(("project_id".to_owned(), project.id.clone()));
        attributes.push(("project_domain".to_owned(), project.domain.name.clone()));
    }
    attributes.extend(said.roles.iter().map(|role| ("role".to_owned(), role.name.clone())));
    attributes.extend(said.methods.iter().map(|method| ("method".to_owned(), method.clone())));
    let is_strong = said.methods.iter().any(|method| method == "totp");
    Ok(FederationUser {
        groups,
        attributes,
        assurance: if is_strong { MULTI_FACTOR.to_owned() } else { String::new() },
        authenticated_at: said.issued_at()?,
        expires_at: Some(said.expires_at()?),
        ..FederationUser::new(config.issuer(), said.user.id.clone(), said.user.name.clone())
    })
}

/// Whether user and token agree.
fn judge(config: &Config, user: &FederationUser, said: &Token) -> Result<Verdict> {
    if user.issuer != config.issuer() || user.subject != said.user.id {
        return Ok(Verdict::not_authentic("the token speaks of another user"));
    }
    Ok(Verdict::genuine_until(said.expires_at()?))
}

archipel_sdk::export! {
    Users: TokenGenerator, FederationIdentity, Authentication;
    manifest = {
        "capabilities": {
            "hosts": [{ "config": "/auth_url", "reason": "asks Keystone who a user is, at each login and whenever a token is judged" }],
            "secrets": [
                { "name": "login.*", "reason": "logs in with what the user typed" },
                { "name": "session", "reason": "asks Keystone about the user's token, with that token" },
            ],
        },
    };
    config_schema = "config.schema.json"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(more: &str) -> Config {
        archipel_sdk::config::parse(&format!(r#"{{"auth_url": "http://k:5000"{more}}}"#)).unwrap()
    }

    fn token(methods: &[&str]) -> Token {
        serde_json::from_value(json!({
            "methods": methods, "user": {"domain": {"id": "default", "name": "Default"}, "id": "u1", "name": "ada"},
            "project": {"domain": {"id": "default", "name": "Default"}, "id": "p1", "name": "physics"},
            "roles": [{"id": "r1", "name": "member"}],
            "issued_at": "1970-01-01T00:00:01.000000Z", "expires_at": "1970-01-01T01:00:01.000000Z"
        }))
        .unwrap()
    }

    #[test]
    fn a_user_is_known_by_the_keystone_and_its_id() {
        let user = user(&config(""), &token(&["password"]), vec!["physics".into()]).unwrap();
        assert_eq!(
            (user.issuer.as_str(), user.subject.as_str(), user.name.as_str()),
            ("http://k:5000/v3", "u1", "ada")
        );
        assert_eq!((user.authenticated_at, user.expires_at), (1_000, Some(3_601_000)));
        assert_eq!(user.attribute("role"), Some("member"));
        assert_eq!(user.attribute("project_id"), Some("p1"));
        assert_eq!(user.assurance, "");
        let named = config(r#", "issuer": "https://people.example""#);
        assert_eq!(super::user(&named, &token(&[]), vec![]).unwrap().issuer, "https://people.example");
    }

    #[test]
    fn a_passcode_is_a_stronger_proof() {
        let user = user(&config(""), &token(&["password", "totp"]), vec![]).unwrap();
        assert_eq!(user.assurance, MULTI_FACTOR);
    }

    #[test]
    fn a_token_is_genuine_as_long_as_keystone_says_and_for_its_own_user_alone() {
        let config = config("");
        let ada = FederationUser::new("http://k:5000/v3", "u1", "ada");
        let Verdict::Authentic(Some(validity)) = judge(&config, &ada, &token(&[])).unwrap() else {
            panic!("genuine")
        };
        assert_eq!(validity.until, 3_601_000);
        for other in
            [FederationUser::new("http://k:5000/v3", "u2", "ada"), FederationUser::new("x", "u1", "ada")]
        {
            assert!(matches!(judge(&config, &other, &token(&[])).unwrap(), Verdict::NotAuthentic(_)));
        }
    }

    #[test]
    fn a_login_is_for_no_project_unless_one_is_typed_and_of_the_home_domain_unless_one_is() {
        let config = config(r#", "domain_id": "d1""#);
        let typed = Typed { username: Some("ada"), ..Typed::default() };
        let (login, field) = typed.login(&config).unwrap();
        let user = User { user: NameOrId::Name("ada"), domain: NameOrId::Id("d1") };
        assert_eq!(
            (login, field),
            (Login { method: Method::Password(user), scope: Scope::Unscoped }, "password")
        );
        let typed = Typed { user_domain: Some("People"), project: Some("physics"), ..typed };
        let (login, _) = typed.login(&config).unwrap();
        let domain = NameOrId::Name("People");
        assert_eq!(login.scope, Scope::Project { project: NameOrId::Name("physics"), domain });
    }

    #[test]
    fn an_application_credential_is_a_login_of_its_own() {
        let config = config("");
        let typed = Typed { application_credential: Some("c1"), ..Typed::default() };
        assert_eq!(typed.login(&config).unwrap().1, "application_credential_secret");
        let error = Typed::default().login(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("`username`"), "{error}");
    }

    #[test]
    fn a_passcode_is_asked_for_where_it_is_all_that_is_missing() {
        let receipt = |required: serde_json::Value| Receipt {
            receipt: "r".into(),
            user: token(&[]).user,
            done: vec!["password".into()],
            required: serde_json::from_value(required).unwrap(),
        };
        let typed = Typed { username: Some("ada"), project: Some("physics"), ..Typed::default() };
        let Outcome::Challenge(asked) = challenge(receipt(json!([["password", "totp"]])), &typed).unwrap()
        else {
            panic!("asked")
        };
        assert_eq!(asked.fields[0].name, "passcode");
        let pending: Pending = serde_json::from_str(&asked.state).unwrap();
        assert_eq!((pending.user_id.as_str(), pending.project.as_deref()), ("u1", Some("physics")));
        assert_eq!(pending.project_domain.as_deref(), Some("Default"));
        let error = challenge(receipt(json!([["password", "fingerprint"]])), &typed).unwrap_err();
        assert_eq!(error.message(), "this user also needs fingerprint, which this login cannot ask for");
    }
}

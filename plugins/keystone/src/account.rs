//! An account of a cloud as a mapper's configuration names it, and its local token.
//!
//! ```json
//! {
//!   "account": "physics", "secret": "physics-password", "cloud": "east", "attributes": {},
//!   "keystone": { "auth_url": "https://east.example:5000/v3", "user": "archipel", "project": "physics" }
//! }
//! ```
//!
//! Without `keystone` the account is as [`archipel_sdk::aaa::Account`] says: its secret is the credential itself. With it the
//! secret is a password (or that of an application credential) to log in with, and the credential is Keystone's token.
//! What `keystone` leaves out is taken from the mapper's defaults, so that each account names what is its own.

use archipel_sdk::aaa;
use archipel_sdk::credentials::{LocalToken, Secret};
use archipel_sdk::{Error, ErrorKind, Result, error};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::catalogue::SERVICES;
use crate::client::Keystone;
use crate::login::{Login, Method, NameOrId, Scope, User};

/// After a login that the site itself is to blame for: soon enough once it is put right, and no storm that locks the
/// account at the cloud until then.
const AGAIN: Duration = Duration::from_secs(60);

/// The services that an account has, unless its configuration says otherwise.
const REQUIRED: [&str; 4] = ["compute", "volumev3", "network", "image"];

/// An account as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountText {
    /// Its stable name: it is written on orders and asked for as long as they live.
    pub account: String,
    /// The one cloud that the entry is for; none = any.
    #[serde(default)]
    pub cloud: Option<String>,
    /// Name of its secret in the site's `[secrets]`.
    #[serde(default)]
    pub secret: Option<String>,
    /// For drivers.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// How it logs in.
    #[serde(default)]
    pub keystone: Option<Place>,
}

/// Where and as whom an account logs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// The Keystone: `https://cloud.example:5000/v3`.
    pub auth_url: Option<String>,
    /// The region; none = the only one that the catalogue has.
    pub region: Option<String>,
    /// `public` (if absent), `internal` or `admin`: which endpoints drivers use.
    pub interface: Option<String>,
    /// Services that must be in the catalogue; compute, volumev3, network and image if absent.
    pub services: Option<Vec<String>>,
    /// The user's name.
    pub user: Option<String>,
    /// Or its id.
    pub user_id: Option<String>,
    /// The name of the user's domain; the domain with the id `default` if absent.
    pub user_domain: Option<String>,
    /// Or its id.
    pub user_domain_id: Option<String>,
    /// The project's name.
    pub project: Option<String>,
    /// Or its id.
    pub project_id: Option<String>,
    /// The name of the project's domain; the user's domain if absent.
    pub project_domain: Option<String>,
    /// Or its id.
    pub project_domain_id: Option<String>,
    /// The id of an application credential, which carries user and project.
    pub application_credential_id: Option<String>,
    /// Or its name; then `user` says whose.
    pub application_credential: Option<String>,
}

/// Either of a name and an id; the id where both are there.
fn either<'a>(name: &'a Option<String>, id: &'a Option<String>) -> Option<NameOrId<'a>> {
    id.as_deref().map(NameOrId::Id).or_else(|| name.as_deref().map(NameOrId::Name))
}

/// What is written here, or else there.
macro_rules! or {
    ($one:ident, $other:ident: $($field:ident),+) => {
        Place { $($field: $one.$field.clone().or_else(|| $other.$field.clone())),+ }
    };
}

impl Place {
    /// This one, with what it leaves out taken from the defaults. What says *who* it is comes whole from one side: a
    /// name here must not meet an id there.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        let mut blank = defaults.clone();
        if self.user.is_some()
            || self.user_id.is_some()
            || self.application_credential.is_some()
            || self.application_credential_id.is_some()
        {
            (blank.user, blank.user_id) = (None, None);
            (blank.application_credential, blank.application_credential_id) = (None, None);
        }
        if self.user_domain.is_some() || self.user_domain_id.is_some() {
            (blank.user_domain, blank.user_domain_id) = (None, None);
        }
        if self.project.is_some() || self.project_id.is_some() {
            (blank.project, blank.project_id) = (None, None);
        }
        if self.project_domain.is_some() || self.project_domain_id.is_some() {
            (blank.project_domain, blank.project_domain_id) = (None, None);
        }
        or!(self, blank: auth_url, region, interface, services, user, user_id, user_domain, user_domain_id, project,
            project_id, project_domain, project_domain_id, application_credential, application_credential_id)
    }

    /// The login that this describes.
    ///
    /// # Errors
    /// `invalid`, naming the key that is missing or too much.
    pub fn login(&self) -> Result<Login<'_>> {
        let user_domain = either(&self.user_domain, &self.user_domain_id).unwrap_or(NameOrId::Id("default"));
        let user = either(&self.user, &self.user_id).map(|user| User { user, domain: user_domain });
        if let Some(credential) = either(&self.application_credential, &self.application_credential_id) {
            let needs_user = matches!(credential, NameOrId::Name(_));
            if needs_user && user.is_none() {
                return Err(Error::invalid(
                    "keystone: an application credential that is named needs the `user` whose it is; or give its \
                     `application_credential_id`",
                ));
            }
            // It carries its own project, and Keystone refuses a login that names one as well.
            return Ok(Login {
                method: Method::ApplicationCredential { credential, user },
                scope: Scope::Own,
            });
        }
        let user = user.ok_or_else(|| {
            Error::invalid(
                "keystone: name the `user`, or an `application_credential_id`, that the account logs in as",
            )
        })?;
        let project = either(&self.project, &self.project_id)
            .ok_or_else(|| Error::invalid("keystone: name the `project` that the account works in"))?;
        let domain = either(&self.project_domain, &self.project_domain_id).unwrap_or(user_domain);
        Ok(Login { method: Method::Password(user), scope: Scope::Project { project, domain } })
    }

    /// The Keystone.
    ///
    /// # Errors
    /// `invalid` when none is named.
    pub fn keystone(&self) -> Result<Keystone> {
        let url = self.auth_url.as_deref();
        url.map(Keystone::at).ok_or_else(|| Error::invalid("keystone: name its `auth_url`"))
    }
}

/// An account that can be logged in to.
#[derive(Debug, Clone)]
pub struct Account {
    plain: aaa::Account,
    keystone: Option<Place>,
}

impl Account {
    /// Reads an account, with the mapper's defaults for what its `keystone` leaves out.
    ///
    /// # Errors
    /// `invalid`, naming the account and the key that is missing.
    pub fn new(text: AccountText, defaults: &Place) -> Result<Self> {
        let AccountText { account, cloud, secret, attributes, keystone } = text;
        let keystone = keystone.map(|place| place.or(defaults));
        if let Some(place) = &keystone {
            let named = |error: Error| error.context(format!("account {account:?}"));
            place.login().map_err(named)?;
            place.keystone().map_err(named)?;
            if secret.is_none() {
                return Err(named(Error::invalid("keystone: name the `secret` that it logs in with")));
            }
            for service in place.services.iter().flatten() {
                if !SERVICES.iter().any(|(known, _)| known == service) {
                    let known: Vec<&str> = SERVICES.iter().map(|(known, _)| *known).collect();
                    return Err(named(Error::invalid(format!(
                        "keystone: no service {service:?} is known; name some of {}",
                        known.join(", ")
                    ))));
                }
            }
        }
        Ok(Self { plain: aaa::Account { account, cloud, secret, attributes }, keystone })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plain.account
    }

    /// The name of its secret.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.plain.secret.as_deref()
    }

    /// Whether the entry is for this account of this cloud.
    #[must_use]
    pub fn is(&self, account: &str, cloud: &str) -> bool {
        self.plain.is(account, cloud)
    }

    /// Whether the entry is for this cloud.
    #[must_use]
    pub fn is_for(&self, cloud: &str) -> bool {
        self.plain.is_for(cloud)
    }

    /// A local token of this account: Keystone's, where it has one. Its attributes are the account's own and, under
    /// `openstack`, what a driver must know: `auth_url`, `project_id`, `user_id`, `region`, `interface`, `endpoints`.
    ///
    /// # Errors
    /// `transient`, whatever is wrong: it is the site that cannot log in, and nothing that the user asked for. What is
    /// wrong, a refused password above all, goes to the site's log, for it is nobody else's business.
    pub fn local_token(&self) -> Result<LocalToken> {
        let Some(place) = &self.keystone else { return self.plain.local_token() };
        self.keystone_token(place).map_err(|problem| {
            if problem.kind() == ErrorKind::Transient {
                return problem;
            }
            let account = self.name();
            error!(account = account; "cannot log in to the cloud: {problem}");
            Error::transient(format!(
                "the site cannot log in to its cloud account {account:?}; its log says why, and the administrator can put it right"
            ))
            .retry_after(AGAIN)
        })
    }

    fn keystone_token(&self, place: &Place) -> Result<LocalToken> {
        let keystone = place.keystone()?;
        let name = self.secret().ok_or_else(|| Error::invalid("no secret to log in with"))?;
        let password = Secret::open(name)?;
        let issued = keystone.login(&place.login()?, &password).map_err(|error| {
            let refused = error.kind() == ErrorKind::Unauthenticated;
            if refused {
                error.context(format!("user, project or secret {name:?} is not accepted"))
            } else {
                error
            }
        })?;
        let project = issued.token.project.as_ref().ok_or_else(|| {
            Error::invalid("keystone gave a token without a project; drivers can do nothing with it")
        })?;
        let catalogue = keystone.catalogue(&issued.secret)?;
        let region = catalogue.region(place.region.as_deref())?;
        let interface = place.interface.as_deref().unwrap_or("public");
        let required = match &place.services {
            Some(named) => named.clone(),
            None => REQUIRED.map(str::to_owned).to_vec(),
        };
        let endpoints = catalogue.addresses(region, interface, &required)?;
        let mut attributes = self.plain.attributes.clone();
        attributes.insert(
            "openstack".to_owned(),
            json!({
                "auth_url": keystone.url(),
                "project_id": project.id,
                "user_id": issued.token.user.id,
                "region": region,
                "interface": interface,
                "endpoints": endpoints,
            }),
        );
        let lifetime = Duration::from_millis(issued.token.lifetime_ms()?);
        LocalToken::make(self.name(), Some(issued.secret), Some(lifetime), &attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(json: Value) -> Place {
        serde_json::from_value(json).unwrap()
    }

    fn account(json: Value, defaults: &Place) -> Result<Account> {
        Account::new(serde_json::from_value(json).unwrap(), defaults)
    }

    #[test]
    fn an_account_names_what_is_its_own_and_the_defaults_say_the_rest() {
        let defaults = place(json!({"auth_url": "http://k:5000", "region": "R", "user_domain": "People"}));
        let merged =
            place(json!({"user": "archipel", "project": "physics", "project_domain_id": "d2"})).or(&defaults);
        let domain = NameOrId::Name("People");
        assert_eq!(
            merged.login().unwrap(),
            Login {
                method: Method::Password(User { user: NameOrId::Name("archipel"), domain }),
                scope: Scope::Project { project: NameOrId::Name("physics"), domain: NameOrId::Id("d2") },
            }
        );
        assert_eq!(merged.region.as_deref(), Some("R"));
        assert_eq!(merged.keystone().unwrap().url(), "http://k:5000/v3");
    }

    #[test]
    fn a_name_here_does_not_meet_an_id_there() {
        let defaults = place(json!({"user_id": "u1", "project_id": "p1", "application_credential_id": "c1"}));
        let merged = place(json!({"user": "ada", "project": "x"})).or(&defaults);
        assert_eq!((merged.user_id, merged.project_id, merged.application_credential_id), (None, None, None));
        let merged = place(json!({"application_credential_id": "c2"})).or(&place(json!({"user": "ada"})));
        assert_eq!(merged.user, None);
    }

    #[test]
    fn the_projects_domain_is_the_users_unless_it_is_named() {
        let place = place(json!({"user": "ada", "project": "x", "user_domain_id": "d1"}));
        let Scope::Project { domain, .. } = place.login().unwrap().scope else { panic!("scoped") };
        assert_eq!(domain, NameOrId::Id("d1"));
    }

    #[test]
    fn an_application_credential_carries_its_project() {
        let by_id = place(json!({"application_credential_id": "c1", "project": "ignored"}));
        let login = by_id.login().unwrap();
        assert_eq!(login.scope, Scope::Own);
        assert_eq!(
            login.method,
            Method::ApplicationCredential { credential: NameOrId::Id("c1"), user: None }
        );
        let named = place(json!({"application_credential": "site"}));
        assert!(named.login().unwrap_err().message().contains("needs the `user`"));
    }

    #[test]
    fn what_is_missing_is_said_when_the_configuration_is_read() {
        let nothing = Place::default();
        let said = |json: Value| account(json, &nothing).unwrap_err().message().to_owned();
        assert_eq!(
            said(
                json!({"account": "a", "secret": "s", "keystone": {"project": "p", "auth_url": "http://k"}})
            ),
            "account \"a\": keystone: name the `user`, or an `application_credential_id`, that the account logs in as"
        );
        assert!(
            said(json!({"account": "a", "secret": "s", "keystone": {"user": "u", "auth_url": "http://k"}}))
                .contains("name the `project`")
        );
        assert!(
            said(json!({"account": "a", "secret": "s", "keystone": {"user": "u", "project": "p"}}))
                .contains("`auth_url`")
        );
        let whole = json!({"user": "u", "project": "p", "auth_url": "http://k"});
        assert!(said(json!({"account": "a", "keystone": whole})).contains("`secret`"));
        let services = json!({"user": "u", "project": "p", "auth_url": "http://k", "services": ["nova"]});
        assert!(
            said(json!({"account": "a", "secret": "s", "keystone": services}))
                .contains("no service \"nova\"")
        );
        assert!(account(json!({"account": "a", "attributes": {"x": 1}}), &nothing).is_ok());
    }
}

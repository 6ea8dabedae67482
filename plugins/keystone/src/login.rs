//! The body of `POST /v3/auth/tokens`. Pure: what stands for the secret is a placeholder, which the host replaces.

use serde_json::{Map, Value, json};

/// A login, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login<'a> {
    /// Who, and how it is proved.
    pub method: Method<'a>,
    /// What the token is to be for.
    pub scope: Scope<'a>,
}

/// Who logs in, and how it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method<'a> {
    /// By password.
    Password(User<'a>),
    /// By an application credential, which carries its project: the scope must be [`Scope::Own`].
    ApplicationCredential {
        /// Its id; or its name, and then `user` says whose.
        credential: NameOrId<'a>,
        /// Whose, where the credential is named.
        user: Option<User<'a>>,
    },
    /// By a passcode (RFC 6238), after a password that was not enough.
    Totp(User<'a>),
}

/// What the token is to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Whatever Keystone gives by itself: the credential's project, the user's default project, or none.
    Own,
    /// No project.
    Unscoped,
    /// One project.
    Project {
        /// Which.
        project: NameOrId<'a>,
        /// Its domain, where it is named.
        domain: NameOrId<'a>,
    },
}

/// A user, and its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'a> {
    /// Which.
    pub user: NameOrId<'a>,
    /// The domain, where the user is named.
    pub domain: NameOrId<'a>,
}

/// By name or by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOrId<'a> {
    /// Names are unique within a domain at most.
    Name(&'a str),
    /// Unique within a Keystone.
    Id(&'a str),
}

impl NameOrId<'_> {
    fn json(&self) -> Map<String, Value> {
        let (key, value) = match self {
            Self::Name(name) => ("name", name),
            Self::Id(id) => ("id", id),
        };
        Map::from_iter([(key.to_owned(), Value::from(*value))])
    }

    /// With a domain beside a name; an id needs none, and Keystone refuses both.
    fn json_in(&self, domain: &NameOrId<'_>) -> Map<String, Value> {
        let mut object = self.json();
        if matches!(self, Self::Name(_)) {
            object.insert("domain".to_owned(), Value::Object(domain.json()));
        }
        object
    }
}

impl User<'_> {
    fn json(&self) -> Map<String, Value> {
        self.user.json_in(&self.domain)
    }
}

impl Login<'_> {
    /// The body with `placeholder` where the secret is to stand.
    pub(crate) fn body(&self, placeholder: &str) -> Value {
        let (name, mut proof, secret) = match &self.method {
            Method::Password(user) => ("password", json!({"user": user.json()}), "/user/password"),
            Method::Totp(user) => ("totp", json!({"user": user.json()}), "/user/passcode"),
            Method::ApplicationCredential { credential, user } => {
                let mut object = credential.json();
                if let (NameOrId::Name(_), Some(user)) = (credential, user) {
                    object.insert("user".to_owned(), Value::Object(user.json()));
                }
                ("application_credential", Value::Object(object), "/secret")
            }
        };
        put(&mut proof, secret, placeholder);
        let mut identity = Map::new();
        identity.insert("methods".to_owned(), json!([name]));
        identity.insert(name.to_owned(), proof);
        let mut auth = json!({"identity": identity});
        match &self.scope {
            Scope::Own => {}
            Scope::Unscoped => put(&mut auth, "/scope", "unscoped"),
            Scope::Project { project, domain } => {
                put(&mut auth, "/scope", json!({"project": project.json_in(domain)}));
            }
        }
        json!({"auth": auth})
    }

    /// The body and its placeholder: one that stands nowhere else in it, whatever somebody typed as a name. The host puts
    /// the secret wherever the placeholder stands, and Keystone logs names.
    pub(crate) fn body_and_placeholder(&self) -> (Value, String) {
        let mut placeholder = "$secret".to_owned();
        loop {
            let body = self.body(&placeholder);
            if strings_equal_to(&body, &placeholder) == 1 {
                return (body, placeholder);
            }
            placeholder.push('$');
        }
    }
}

/// Sets a member of an object inside `value`, at a pointer whose last part is its key.
fn put(value: &mut Value, pointer: &str, member: impl Into<Value>) {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(Value::Object(object)) = value.pointer_mut(parent)
    {
        object.insert(key.to_owned(), member.into());
    }
}

fn strings_equal_to(value: &Value, text: &str) -> usize {
    match value {
        Value::String(string) => usize::from(string == text),
        Value::Array(items) => items.iter().map(|item| strings_equal_to(item, text)).sum(),
        Value::Object(members) => members.values().map(|member| strings_equal_to(member, text)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(user: &'a str, domain: NameOrId<'a>) -> User<'a> {
        User { user: NameOrId::Name(user), domain }
    }

    #[test]
    fn a_password_with_a_project_of_another_domain() {
        let login = Login {
            method: Method::Password(named("ada", NameOrId::Name("Default"))),
            scope: Scope::Project { project: NameOrId::Name("physics"), domain: NameOrId::Id("d2") },
        };
        let expected = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "ada", "domain": {"name": "Default"}, "password": "$secret"}}},
            "scope": {"project": {"name": "physics", "domain": {"id": "d2"}}}}});
        assert_eq!(login.body_and_placeholder(), (expected, "$secret".to_owned()));
    }

    #[test]
    fn ids_need_no_domain() {
        let user = User { user: NameOrId::Id("u1"), domain: NameOrId::Name("Default") };
        let project = Scope::Project { project: NameOrId::Id("p1"), domain: NameOrId::Name("Default") };
        let login = Login { method: Method::Password(user), scope: project };
        assert_eq!(
            login.body("$s"),
            json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user": {"id": "u1", "password": "$s"}}},
                "scope": {"project": {"id": "p1"}}}})
        );
    }

    #[test]
    fn an_application_credential_by_id_and_by_name() {
        let by_id = Login {
            method: Method::ApplicationCredential { credential: NameOrId::Id("c1"), user: None },
            scope: Scope::Own,
        };
        assert_eq!(
            by_id.body("$s"),
            json!({"auth": {"identity": {"methods": ["application_credential"],
                "application_credential": {"id": "c1", "secret": "$s"}}}})
        );
        let by_name = Login {
            method: Method::ApplicationCredential {
                credential: NameOrId::Name("site"),
                user: Some(named("ada", NameOrId::Id("default"))),
            },
            scope: Scope::Own,
        };
        assert_eq!(
            by_name.body("$s").pointer("/auth/identity/application_credential"),
            Some(
                &json!({"name": "site", "user": {"name": "ada", "domain": {"id": "default"}}, "secret": "$s"})
            )
        );
    }

    #[test]
    fn no_name_can_pull_the_secret_into_its_place() {
        let login = Login {
            method: Method::Password(named("$secret", NameOrId::Name("$secret$"))),
            scope: Scope::Unscoped,
        };
        let (body, placeholder) = login.body_and_placeholder();
        assert_eq!(placeholder, "$secret$$");
        assert_eq!(body.pointer("/auth/identity/password/user/name"), Some(&json!("$secret")));
        assert_eq!(body.pointer("/auth/scope"), Some(&json!("unscoped")));
    }

    #[test]
    fn a_passcode_after_a_password() {
        let user = User { user: NameOrId::Id("u1"), domain: NameOrId::Id("") };
        let login = Login { method: Method::Totp(user), scope: Scope::Own };
        assert_eq!(
            login.body("$s"),
            json!({"auth": {"identity": {"methods": ["totp"], "totp": {"user": {"id": "u1", "passcode": "$s"}}}}})
        );
    }
}

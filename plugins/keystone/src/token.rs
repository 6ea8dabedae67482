//! What Keystone says of a token.

use archipel_sdk::{Error, Result};
use serde::Deserialize;

use crate::time::milliseconds;

/// A token as its own Keystone states it, without the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// Whose it is.
    pub user: NamedIn,
    /// The project that it is scoped to.
    #[serde(default)]
    pub project: Option<NamedIn>,
    /// The user's roles within that scope.
    #[serde(default)]
    pub roles: Vec<Named>,
    /// How the user proved who it is: `password`, `totp`, `application_credential`, ...
    #[serde(default)]
    pub methods: Vec<String>,
    issued_at: String,
    expires_at: String,
}

/// What a login gives.
#[derive(Debug)]
pub struct Issued {
    /// The token, as a handle named `captured.token`.
    pub secret: archipel_sdk::credentials::Secret,
    /// What it says.
    pub token: Token,
}

/// Something with an id and a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// Unique within this Keystone.
    pub id: String,
    /// For people; unique within its domain at most.
    #[serde(default)]
    pub name: String,
}

/// The same, within a domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamedIn {
    /// Unique within this Keystone.
    pub id: String,
    /// Unique within the domain.
    #[serde(default)]
    pub name: String,
    /// The domain.
    pub domain: Named,
}

/// The body of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) token: Token,
}

impl Token {
    /// When it was given, in ms since the Unix epoch by Keystone's clock.
    ///
    /// # Errors
    /// `permanent` when Keystone states no time.
    pub fn issued_at(&self) -> Result<u64> {
        read(&self.issued_at)
    }

    /// When it ends, in ms since the Unix epoch by Keystone's clock.
    ///
    /// # Errors
    /// `permanent` when Keystone states no time.
    pub fn expires_at(&self) -> Result<u64> {
        read(&self.expires_at)
    }

    /// How long a token that was just given lives, in ms: both times are of one clock, so that it does not matter
    /// whether ours agrees with it.
    ///
    /// # Errors
    /// `permanent` when Keystone states no time.
    pub fn lifetime_ms(&self) -> Result<u64> {
        Ok(self.expires_at()?.saturating_sub(self.issued_at()?))
    }
}

fn read(text: &str) -> Result<u64> {
    milliseconds(text)
        .ok_or_else(|| Error::permanent(format!("keystone states a time that is none: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the peer (Keystone 22) answers, shortened.
    const SCOPED: &str = r#"{"token": {"methods": ["password"],
        "user": {"domain": {"id": "default", "name": "Default"}, "id": "81c6", "name": "archipel-physics", "password_expires_at": null},
        "audit_ids": ["qX"], "expires_at": "2026-11-22T03:30:00.000000Z", "issued_at": "2026-11-22T02:30:00.000000Z",
        "project": {"domain": {"id": "default", "name": "Default"}, "id": "69a4", "name": "physics"},
        "is_domain": false, "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}]}}"#;

    #[test]
    fn a_scoped_token_tells_user_project_roles_and_life() {
        let token = serde_json::from_str::<Answer>(SCOPED).unwrap().token;
        assert_eq!((token.user.id.as_str(), token.user.domain.name.as_str()), ("81c6", "Default"));
        assert_eq!(token.project.as_ref().unwrap().name, "physics");
        assert_eq!(
            token.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(),
            ["member", "reader"]
        );
        assert_eq!(token.lifetime_ms().unwrap(), 3_600_000);
    }

    #[test]
    fn an_unscoped_token_has_neither_project_nor_roles() {
        let text = r#"{"token": {"user": {"domain": {"id": "d"}, "id": "u", "name": "n"},
            "expires_at": "soon", "issued_at": "2026-11-22T02:30:00Z"}}"#;
        let token = serde_json::from_str::<Answer>(text).unwrap().token;
        assert!(token.project.is_none() && token.roles.is_empty());
        assert_eq!(
            token.expires_at().unwrap_err().message(),
            "keystone states a time that is none: \"soon\""
        );
    }
}

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

/// How one step of a login ends.
#[derive(Debug)]
pub enum Step {
    /// Done.
    Issued(Issued),
    /// So far right, and not enough.
    More(Receipt),
}

/// What a user has proved so far, and what is still to be proved (Keystone's multi-factor authentication).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// To be handed in with the next step. It proves one factor of several and opens nothing by itself.
    pub receipt: String,
    /// Whose.
    pub user: NamedIn,
    /// What was proved: `password`.
    pub done: Vec<String>,
    /// The sets of which one must be complete.
    pub required: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct ReceiptAnswer {
    receipt: ReceiptBody,
    required_auth_methods: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct ReceiptBody {
    methods: Vec<String>,
    user: NamedIn,
}

impl Receipt {
    pub(crate) fn read(receipt: &str, body: &[u8]) -> Result<Self> {
        let answer: ReceiptAnswer = serde_json::from_slice(body).map_err(|error| {
            Error::permanent(format!("keystone gives a receipt that cannot be read: {error}"))
        })?;
        Ok(Self {
            receipt: receipt.to_owned(),
            user: answer.receipt.user,
            done: answer.receipt.methods,
            required: answer.required_auth_methods,
        })
    }

    /// Whether one more proof by `method` is enough.
    #[must_use]
    pub fn needs_only(&self, method: &str) -> bool {
        self.required.iter().any(|set| {
            set.iter().any(|one| one == method)
                && set.iter().all(|one| one == method || self.done.contains(one))
        })
    }

    /// What is still wanted, for people.
    #[must_use]
    pub fn wanted(&self) -> String {
        let missing = |set: &Vec<String>| {
            let left: Vec<&str> =
                set.iter().filter(|one| !self.done.contains(one)).map(String::as_str).collect();
            left.join(" and ")
        };
        self.required.iter().map(missing).collect::<Vec<_>>().join(", or ")
    }
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

    #[test]
    fn a_receipt_tells_what_is_still_to_be_proved() {
        let body = br#"{"receipt": {"methods": ["password"], "expires_at": "2026-11-22T02:35:00.000000Z",
            "issued_at": "2026-11-22T02:30:00.000000Z",
            "user": {"domain": {"id": "default", "name": "Default"}, "id": "u1", "name": "ada"}},
            "required_auth_methods": [["password", "totp"], ["password", "a", "b"]]}"#;
        let receipt = Receipt::read("r", body).unwrap();
        assert!(receipt.needs_only("totp") && !receipt.needs_only("a") && !receipt.needs_only("password"));
        assert_eq!(receipt.wanted(), "totp, or a and b");
        assert_eq!(receipt.user.id, "u1");
        assert!(Receipt::read("r", b"{}").is_err());
    }
}

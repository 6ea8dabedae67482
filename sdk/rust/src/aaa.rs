//! Authentication, authorization and mapping: how a site decides who its users are and what they may do.
//!
//! Every call runs in a fresh instance (or in the image that `Lifecycle::init` left), with storage read-only. All
//! five fail closed: an error refuses the request.

mod account;
mod authorization;
mod identity;
mod mapper;

pub use crate::bindings::common::archipel::aaa::types::{Context, FederationUser, Owner, Resource, Usage};
pub use account::Account;
pub use authorization::{Allow, Authorization, Decision, Deny, Obligation, Reach};
pub use identity::{
    Authentication, Challenge, Credentials, FederationIdentity, Field, Issued, Outcome, TokenGenerator,
    Validity, Verdict,
};
pub use mapper::Mapper;

impl FederationUser {
    /// A user with what every user has; the rest is empty and can be set field by field.
    ///
    /// ```
    /// # use archipel_sdk::aaa::FederationUser;
    /// let user = FederationUser {
    ///     groups: vec!["physics".into()],
    ///     ..FederationUser::new("https://idp.example", "7c1", "Ada")
    /// };
    /// assert!(user.is_in("physics"));
    /// ```
    #[must_use]
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            name: name.into(),
            email: None,
            groups: Vec::new(),
            entitlements: Vec::new(),
            attributes: Vec::new(),
            home_site: None,
            assurance: String::new(),
            authenticated_at: 0,
            expires_at: None,
        }
    }

    /// Whether the user belongs to `group`.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }

    /// The first value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the user owns what `owner` owns: issuer and subject, compared exactly.
    #[must_use]
    pub fn is_owner(&self, owner: &Owner) -> bool {
        self.issuer == owner.issuer && self.subject == owner.subject
    }
}

impl Context {
    /// A local request for `operation` at `now`: for unit tests.
    #[must_use]
    pub fn new(operation: impl Into<String>, now: u64) -> Self {
        Self {
            request_id: String::new(),
            now,
            operation: operation.into(),
            this_site: String::new(),
            requesting_site: None,
            client_address: None,
            group: None,
        }
    }
}

impl Resource {
    /// A resource of `kind` at `site` with nothing else known: for unit tests.
    #[must_use]
    pub fn new(kind: impl Into<String>, site: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            id: None,
            cloud: None,
            site: site.into(),
            owner: None,
            group: None,
            state: None,
            labels: Vec::new(),
            spec: None,
            owner_usage: None,
            group_usage: None,
        }
    }
}

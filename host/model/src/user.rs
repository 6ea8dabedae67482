//! Who someone is in the federation.

use serde::{Deserialize, Serialize};

use crate::{SiteId, Timestamp};

/// Owner of things. Compared exactly, never folded or trimmed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Who vouches for the subject.
    pub issuer: String,
    /// Stable within the issuer.
    pub subject: String,
}

/// A user as last verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederationUser {
    /// Who vouches for the subject.
    pub issuer: String,
    /// Stable within the issuer.
    pub subject: String,
    /// For people.
    pub name: String,
    /// If known.
    pub email: Option<String>,
    /// Groups the user belongs to.
    pub groups: Vec<String>,
    /// Entitlements.
    pub entitlements: Vec<String>,
    /// Anything else.
    pub attributes: Vec<(String, String)>,
    /// Where the user is at home; `None` = this site.
    pub home_site: Option<SiteId>,
    /// Level of assurance; empty = not stated.
    pub assurance: String,
    /// When the user proved who it is.
    pub authenticated_at: Timestamp,
    /// When this statement ends.
    pub expires_at: Option<Timestamp>,
}

impl FederationUser {
    /// The pair that owns things.
    pub fn owner(&self) -> Owner {
        Owner { issuer: self.issuer.clone(), subject: self.subject.clone() }
    }
}

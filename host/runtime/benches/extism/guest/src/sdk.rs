//! What the policy of `plugins/authz-roles` uses of `archipel-sdk`, over JSON.

use std::time::Duration;

use crate::types::{Allow, Decision, Deny, FederationUser, Owner, Reach};

/// A failure: of a policy, its message.
#[derive(Debug)]
pub struct Error(pub String);

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl FederationUser {
    pub fn is_owner(&self, owner: &Owner) -> bool {
        self.issuer == owner.issuer && self.subject == owner.subject
    }
}

impl Decision {
    pub fn allow(reach: Reach) -> Self {
        Self::Allow(Allow { reach, obligations: Vec::new(), valid_for_ms: None })
    }

    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(Deny { reason: reason.into(), obligations: Vec::new() })
    }

    pub fn valid_for(mut self, time: Duration) -> Self {
        if let Self::Allow(allow) = &mut self {
            allow.valid_for_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        }
        self
    }
}

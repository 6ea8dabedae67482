//! What the rest of the host learns from identity: who calls, from where, and what was granted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use archipel_model::plugin::Reach;
use archipel_model::site::Generation;
use archipel_model::{Error, FederationUser, Owner, SecretBytes, SessionId, SiteId};

/// The circumstances of one HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// For logs.
    pub request_id: String,
    /// The client's address, with or without a port; `None` on the administrator's socket.
    pub client_address: Option<String>,
    /// The site that asks for its user; `None` = a local request.
    pub requesting_site: Option<SiteId>,
}

/// Someone whose token was judged genuine for this request.
#[derive(Clone)]
pub struct Caller {
    /// As the plugins state it now.
    pub user: FederationUser,
    /// The identity binding that judged; `built-in` for the administrator's socket.
    pub binding: String,
    /// The session behind a site token; `None` for a foreign token and the built-in principal.
    pub session: Option<SessionId>,
    /// The token that the plugins judged (the inner one of a session): what a mapper may be lent.
    pub token: Option<SecretBytes>,
    /// The one group the caller acts for: its only group, else none. [`Caller::acting_for`] chooses another.
    pub group: Option<String>,
    /// The principal `local:admin` of the administrator's socket, for whom no plugin is asked.
    pub built_in_admin: bool,
    /// The generation that judged; the whole request stays on it.
    pub generation: Arc<Generation>,
    /// When the judgement must be made anew at the latest: the earliest end of token, session and statement.
    pub expires_at: Option<archipel_model::Timestamp>,
    /// Digest of `user`: decisions are kept under it.
    pub(crate) user_digest: [u8; 32],
}

impl Caller {
    /// The pair that owns things.
    pub fn owner(&self) -> Owner {
        self.user.owner()
    }

    /// The same caller acting for `group`; `None` keeps the default.
    ///
    /// # Errors
    /// `forbidden` when the user is not in that group.
    pub fn acting_for(&self, group: Option<&str>) -> Result<Self, Error> {
        let Some(group) = group else { return Ok(self.clone()) };
        if !self.built_in_admin && !self.user.groups.iter().any(|known| known == group) {
            return Err(
                Error::forbidden("you are not in that group; name one of your own groups").code("forbidden")
            );
        }
        Ok(Self { group: Some(group.to_owned()), ..self.clone() })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("issuer", &self.user.issuer)
            .field("subject", &self.user.subject)
            .field("binding", &self.binding)
            .field("session", &self.session)
            .field("group", &self.group)
            .field("generation", &self.generation.number)
            .finish_non_exhaustive()
    }
}

/// What an allowed operation may touch, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Granted {
    /// The narrowest reach that the chain gave.
    pub reach: Reach,
    /// The shortest lease that the chain asks for, in seconds.
    pub max_lease_s: Option<u64>,
    /// Labels to put on what is made.
    pub add_labels: BTreeMap<String, String>,
    /// JSON pointers (RFC 6901) into the answer to be left out.
    pub redact: Vec<String>,
}

impl Granted {
    /// Everything, without conditions: the built-in principal's.
    pub(crate) fn everything() -> Self {
        Self { reach: Reach::Any, ..Self::default() }
    }

    /// Whether a thing of this owner and group lies within the reach.
    pub fn covers(&self, caller: &Caller, owner: &Owner, group: Option<&str>) -> bool {
        let own = caller.user.issuer == owner.issuer && caller.user.subject == owner.subject;
        match self.reach {
            Reach::Own => own,
            Reach::Group => own || (group.is_some() && caller.group.as_deref() == group),
            Reach::Any => true,
        }
    }
}

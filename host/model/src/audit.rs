//! Who did what: the records of the audit, and what is asked of whoever keeps them.
//!
//! A record never holds a secret: no token, no password, no body of a request. It names who asked, from where, for which
//! operation on which order, what became of it, and which plugins said so.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::order::{Kind, RemoteOrder};
use crate::{CloudName, Error, OrderId, Owner, SessionId, SiteId, Timestamp};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was allowed; its effect follows, in the same commit or after it.
    Allowed,
    /// It was not: nobody known, or not allowed.
    Denied,
    /// It was allowed, and refused for another reason (a conflict, a limit, something invalid).
    Refused,
    /// It was allowed, and something was away or broke.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Refused, Self::Failed];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(|| {
            Error::invalid(format!("unknown outcome {text:?}; write allowed, denied, refused or failed"))
        })
    }
}

/// Through which door someone came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditDoor {
    /// The network, with a token.
    Public,
    /// The administrator's socket.
    Admin,
    /// None: the daemon itself, or a signal to it.
    Daemon,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditUser {
    /// Issuer and subject.
    #[serde(flatten)]
    pub owner: Owner,
    /// For people.
    pub name: String,
    /// The group that was acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where the user is at home; `None` = this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_site: Option<SiteId>,
    /// The session, where there is one; it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// A plugin that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decider {
    /// Its name.
    pub plugin: String,
    /// SHA-256 of the component, in hex; empty where it was away.
    pub digest: String,
    /// Digest of component, configuration and grants together.
    pub policy: String,
}

/// One record, before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// The request's id, as in the log.
    pub request: String,
    /// Through which door.
    pub door: AuditDoor,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Who; `None` where nobody was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<AuditUser>,
    /// What was asked for: the operation's id in the OpenAPI document, or the daemon's own word.
    pub operation: String,
    /// Kind of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
    /// What else it was about: the name of a plugin or a publisher, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The answer's status, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, as the client was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plugins that allowed it, or the one that did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<Decider>,
    /// How many such requests this record stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// Of a record for many: some of the addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl AuditRecord {
    /// A record of which nothing else is known.
    pub fn new(at: Timestamp, door: AuditDoor, operation: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            at,
            request: String::new(),
            door,
            address: None,
            who: None,
            operation: operation.into(),
            kind: None,
            order: None,
            cloud: None,
            on: None,
            outcome,
            status: None,
            reason: None,
            decided_by: Vec::new(),
            count: 1,
            addresses: Vec::new(),
        }
    }
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_one(count: &u64) -> bool {
    *count == 1
}

/// A record in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Grows along the chain.
    pub sequence: u64,
    /// Hash of the record before, in hex.
    pub before: String,
    /// This record's own hash, in hex.
    pub hash: String,
    /// The record.
    pub record: AuditRecord,
}

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// Of users of one issuer.
    pub issuer: Option<String>,
    /// Of users with this subject.
    pub subject: Option<String>,
    /// About one order.
    pub order: Option<OrderId>,
    /// Of one operation.
    pub operation: Option<String>,
    /// With one outcome.
    pub outcome: Option<Outcome>,
    /// From one address.
    pub address: Option<String>,
    /// Go on after this place.
    pub after: Option<AuditPlace>,
    /// At most so many.
    pub limit: usize,
}

impl AuditQuery {
    /// Whether a record is asked for.
    pub fn covers(&self, record: &AuditRecord) -> bool {
        let who = record.who.as_ref().map(|who| &who.owner);
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
            && is(&self.issuer, who.map(|who| who.issuer.as_str()))
            && is(&self.subject, who.map(|who| who.subject.as_str()))
            && self.order.is_none_or(|order| record.order == Some(order))
            && is(&self.operation, Some(&record.operation))
            && self.outcome.is_none_or(|outcome| record.outcome == outcome)
            && self.address.as_ref().is_none_or(|address| {
                record.address.as_ref() == Some(address) || record.addresses.contains(address)
            })
    }
}

/// A place in a list of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPlace {
    /// The time of the record there; lists by time are ordered by it.
    pub at: Timestamp,
    /// Its sequence.
    pub sequence: u64,
}

/// One page of records, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// The records.
    pub items: Vec<AuditEntry>,
    /// Go on after this place; `None` at the end. A page may be short of its limit and have a next one.
    pub next: Option<AuditPlace>,
}

/// A place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLink {
    /// The record's sequence; 0 = before the first.
    pub sequence: u64,
    /// Its hash, in hex.
    pub hash: String,
    /// Records up to it, forgotten ones too.
    pub count: u64,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditWalk {
    /// Records that were looked at.
    pub records: u64,
    /// How far the chain holds.
    pub upto: AuditLink,
    /// The first thing that is not as it must be.
    pub broken: Option<AuditBreak>,
    /// Whether the newest record was reached.
    pub is_ended: bool,
}

/// Where a chain is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBreak {
    /// The record; 0 where it is the chain as a whole.
    pub sequence: u64,
    /// What is wrong.
    pub what: String,
}

/// Who had an address, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressUse {
    /// The address.
    pub address: IpAddr,
    /// The order.
    pub order: OrderId,
    /// What kind of thing.
    pub kind: Kind,
    /// Whose.
    pub owner: Owner,
    /// The user's name, for people.
    pub user: String,
    /// The user's home site.
    pub home_site: SiteId,
    /// For which group.
    pub group: Option<String>,
    /// The cloud.
    pub cloud: CloudName,
    /// The providing site.
    pub site: SiteId,
    /// The order at the requesting site.
    pub origin: Option<RemoteOrder>,
    /// What the cloud calls the instance.
    pub instance: String,
    /// It may have had the address from here on: when the cloud was asked for the instance, or when a look first showed
    /// an address that came later.
    pub from: Timestamp,
    /// When it was first seen to have it.
    pub seen: Timestamp,
    /// When it was first seen not to have it any more; `None` while it has.
    pub until: Option<Timestamp>,
}

/// Takes what happens inside a site, for those who need not read the audit.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Keeps a record; durable on return. Whoever cannot tell must not do it.
    async fn tell(&self, record: &AuditRecord) -> Result<(), Error>;
}

/// The audit of a site.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends; durable on return.
    async fn append(&self, records: &[AuditRecord]) -> Result<(), Error>;

    /// A page of records, in the chain's order; by time where a time and nothing finer is asked for.
    async fn page(&self, query: &AuditQuery) -> Result<AuditPage, Error>;

    /// The newest record's place.
    async fn head(&self) -> Result<AuditLink, Error>;

    /// Looks at up to `limit` records after `after` (from the anchor where left out).
    async fn walk(&self, after: Option<AuditLink>, limit: usize) -> Result<AuditWalk, Error>;

    /// Whether this hash is that of the record of this sequence, or of the last one that retention removed; `None` where
    /// neither is there any more.
    async fn holds(&self, sequence: u64, hash: &str) -> Result<Option<bool>, Error>;

    /// Who had an address at an instant: the latest first.
    async fn address(&self, address: IpAddr, at: Timestamp) -> Result<Vec<AddressUse>, Error>;

    /// Forgets records and ended uses of addresses from before; at most `limit` of each. Says how many.
    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_reads_back_its_own_word() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse::<Outcome>().unwrap(), outcome);
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert!("granted".parse::<Outcome>().is_err());
    }
}

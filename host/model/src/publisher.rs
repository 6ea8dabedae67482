//! Publishers of the event log, as an administrator sees them and as the store keeps their place.
//!
//! A publisher is a cursor over the log: everything up to its place is with its receiver for certain, what comes after
//! may be (a repetition has the same event id).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Error, Timestamp};

/// Where each publisher stands, kept with everything durable.
#[async_trait]
pub trait PositionStore: Send + Sync {
    /// The sequence up to which everything is sent; `None` where there was never a publisher of this name.
    async fn position(&self, publisher: &str) -> Result<Option<u64>, Error>;
    /// Moves it, in either direction. Durable on return.
    async fn set_position(&self, publisher: &str, position: u64) -> Result<(), Error>;
}

/// What a publisher is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublisherState {
    /// It sends what there is.
    Sending,
    /// Its receiver is away or asked it to wait; it tries again by itself.
    Waiting,
    /// Its receiver said that it wants no more (410): nothing is sent until an administrator replays it.
    Gone,
}

impl PublisherState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::Gone => "gone",
        }
    }
}

/// One publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherStatus {
    /// Its name in the site file.
    pub name: String,
    /// `kafka` or `webhook`.
    pub kind: &'static str,
    /// Where it sends to: brokers and topic, or an origin; never a credential.
    pub target: String,
    /// What it is doing.
    pub state: PublisherState,
    /// Everything up to here is sent.
    pub position: u64,
    /// When the oldest event happened that is not sent; `None` where all is.
    pub behind_since: Option<Timestamp>,
    /// Events that are read and not sent; there may be more in the log.
    pub waiting: u64,
    /// Sent since the daemon started, repetitions included.
    pub sent: u64,
    /// Attempts that failed since then.
    pub failures: u64,
    /// Events given up since then, because the receiver refused them for longer than `give_up_s`.
    pub given_up: u64,
    /// Times since then that events were forgotten before they were sent; each is told to the receiver by a `reset`.
    pub resets: u64,
    /// When it last sent one.
    pub sent_at: Option<Timestamp>,
    /// Why the last attempt failed, until one succeeds.
    pub last_error: Option<String>,
}

/// From where a publisher sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Where it stands; for one whose receiver was gone.
    Here,
    /// The oldest event that is kept.
    Oldest,
    /// What happens from now on; what is not sent yet is left out.
    Now,
    /// After this sequence.
    After(u64),
    /// The first event at or after this time.
    Time(Timestamp),
}

/// What an administrator can do with publishers.
#[async_trait]
pub trait PublisherAdmin: Send + Sync {
    /// All, by name.
    fn list(&self) -> Vec<PublisherStatus>;
    /// One of them.
    fn get(&self, name: &str) -> Option<PublisherStatus> {
        self.list().into_iter().find(|publisher| publisher.name == name)
    }
    /// Sends again. Durable on return: a restart goes on from there.
    async fn replay(&self, name: &str, from: ReplayFrom) -> Result<PublisherStatus, Error>;
}

/// A site without publishers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPublishers;

#[async_trait]
impl PublisherAdmin for NoPublishers {
    fn list(&self) -> Vec<PublisherStatus> {
        Vec::new()
    }

    async fn replay(&self, name: &str, _: ReplayFrom) -> Result<PublisherStatus, Error> {
        Err(Error::not_found(format!("there is no publisher {name}")))
    }
}

//! Why a request got no answer, and whether the far side may have acted.

use std::net::IpAddr;

use archipel_model::{Applied, Error, ErrorKind};

use crate::address::AddressKind;
use crate::origin::OriginError;

/// How far a request had come when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waited for a free place, a name or a connection.
    Before,
    /// It was written, at least in part.
    Sent,
}

/// Why there is no answer, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The URL.
    #[error("{0}")]
    Url(#[from] OriginError),
    /// The request cannot be sent by anyone.
    #[error("the request cannot be sent: {0}")]
    Invalid(&'static str),
    /// No grant names this origin.
    #[error("{origin} is not granted to this plugin; the administrator may add it to `hosts` of its grant")]
    NotGranted {
        /// Where it wanted to go.
        origin: String,
    },
    /// The name leads to addresses that the grant does not allow.
    #[error(
        "{host} leads to {address}, a {kind} address, which the grant does not allow; see `private` of the grant"
    )]
    AddressNotGranted {
        /// The name.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What kind it is.
        kind: AddressKind,
    },
    /// DNS knows no address.
    #[error("the name {host} cannot be resolved")]
    Unresolvable {
        /// The name.
        host: String,
    },
    /// No connection.
    #[error("no connection to {origin}: {reason}")]
    Connect {
        /// Where to.
        origin: String,
        /// Why not.
        reason: std::io::Error,
    },
    /// No TLS.
    #[error("no TLS with {origin}: {reason}")]
    Tls {
        /// With whom.
        origin: String,
        /// Why not.
        reason: String,
    },
    /// Too many requests of this binding at the same time.
    #[error("this plugin has too many requests open")]
    TooManyRequests,
    /// The time was up.
    #[error("the deadline passed {}", if *stage == Stage::Sent { "before the answer was whole" } else { "before the request was sent" })]
    Deadline {
        /// How far it had come.
        stage: Stage,
    },
    /// The body is over the limit.
    #[error("the request is larger than {limit} bytes")]
    RequestTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The answer is over the limit.
    #[error("the answer is larger than {limit} bytes")]
    ResponseTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The connection broke before anything was written.
    #[error("the connection to {origin} was closed before the request was sent{reason}")]
    NotSent {
        /// Where to.
        origin: String,
        /// `: WHY`, where it is known.
        reason: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("{origin} gave no whole answer: {reason}")]
    Interrupted {
        /// From whom.
        origin: String,
        /// Why not.
        reason: String,
    },
}

/// An error with its causes. What matters stands last, as that the far side wants another certificate; some tell it twice.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let more = current.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = current.source();
    }
    text
}

impl EgressError {
    /// Whether the far side may have acted.
    pub fn applied(&self) -> Applied {
        match self {
            Self::Deadline { stage: Stage::Sent }
            | Self::RequestTooLarge { .. }
            | Self::ResponseTooLarge { .. }
            | Self::Interrupted { .. } => Applied::Unknown,
            _ => Applied::No,
        }
    }

    /// The kind of failure for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotGranted { .. } | Self::AddressNotGranted { .. } => ErrorKind::Forbidden,
            Self::Url(_) | Self::Invalid(_) | Self::RequestTooLarge { .. } => ErrorKind::Invalid,
            Self::ResponseTooLarge { .. } => ErrorKind::Permanent,
            _ => ErrorKind::Transient,
        }
    }
}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        Self::new(error.kind(), error.to_string()).applied(error.applied())
    }
}

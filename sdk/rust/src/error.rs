//! The one error of every Archipel interface.
//!
//! What matters to the host is the `kind` (what to do next) and `applied` (whether the far side may have acted):
//! an order whose create ended with [`Applied::Unknown`] is searched for before it is tried again, one that ended
//! with [`Applied::No`] is not. So an error that this crate makes itself says [`Applied::No`], and the HTTP client
//! raises it to unknown as soon as a request has left.
//!
//! [`Error`] does not implement `std::error::Error`, so that every type which does can become one by `?`, as in
//! `anyhow`.

use crate::bindings::common::archipel::host::types as wit;
use std::any::Any;
use std::fmt;
use std::time::Duration;

pub use wit::{Applied, ErrorKind};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A typed failure.
///
/// ```
/// use archipel_sdk::{Applied, Error, ErrorKind};
/// use std::time::Duration;
///
/// let error = Error::transient("the cloud is restarting").retry_after(Duration::from_secs(5));
/// assert_eq!(error.kind(), ErrorKind::Transient);
/// assert_eq!(error.applied_state(), Applied::No);
///
/// fn parse(text: &str) -> archipel_sdk::Result<u32> {
///     Ok(text.parse()?) // any `std::error::Error` becomes `permanent`
/// }
/// assert_eq!(parse("x").unwrap_err().kind(), ErrorKind::Permanent);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    applied: Applied,
}

/// One constructor per kind.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// The request itself is wrong; repeating it cannot help.
    invalid Invalid;
    /// Credentials are missing, wrong or expired.
    unauthenticated Unauthenticated;
    /// Known, but not allowed.
    forbidden Forbidden;
    /// The thing asked for does not exist.
    not_found NotFound;
    /// It contradicts the present state.
    conflict Conflict;
    /// A quota of the cloud is used up.
    quota_exceeded QuotaExceeded;
    /// This plugin or this cloud cannot do it.
    unsupported Unsupported;
    /// Try again later; says nothing about the request.
    transient Transient;
    /// It failed and will fail again.
    permanent Permanent;
}

impl Error {
    /// An error of `kind`. `message` is for a person: lower-case, without a full stop, says what to do next.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, applied: Applied::No }
    }

    /// Do not come back before. The host heeds it for `transient` and `quota-exceeded`.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says whether the far side may have acted. A create of several steps that fails after the first one says
    /// [`Applied::Unknown`] here, whatever the last step answered.
    #[must_use]
    pub fn applied(mut self, applied: Applied) -> Self {
        self.applied = applied;
        self
    }

    /// Puts what was being done in front of the message.
    ///
    /// ```
    /// # use archipel_sdk::Error;
    /// assert_eq!(Error::invalid("no name").context("volume").message(), "volume: no name");
    /// ```
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a person reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the far side may have acted.
    #[must_use]
    pub fn applied_state(&self) -> Applied {
        self.applied
    }

    /// How long to wait, where it is known.
    #[must_use]
    pub fn retry_after_time(&self) -> Option<Duration> {
        self.retry_after
    }

    /// As the host reads it.
    pub(crate) fn into_wit(self) -> wit::Error {
        wit::Error {
            kind: self.kind,
            message: self.message,
            retry_after_ms: self.retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            applied: self.applied,
        }
    }

    /// As the host said it.
    pub(crate) fn from_wit(error: wit::Error) -> Self {
        Self {
            kind: error.kind,
            message: error.message,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
            applied: error.applied,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} (applied: {:?}", self.kind, self.message, self.applied)?;
        match self.retry_after {
            Some(time) => write!(f, ", retry after {time:?})"),
            None => f.write_str(")"),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    /// The host's own error stays what it is; any other is `permanent`, with the text of its causes.
    fn from(error: E) -> Self {
        if let Some(host) = (&error as &dyn Any).downcast_ref::<wit::Error>() {
            return Self::from_wit(host.clone());
        }
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            message.push_str(": ");
            message.push_str(&next.to_string());
            cause = next.source();
        }
        Self::permanent(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_host_keeps_its_kind_when_it_comes_by_question_mark() {
        let error =
            Error::transient("busy").retry_after(Duration::from_millis(1500)).applied(Applied::Unknown);
        assert_eq!(Error::from(error.clone().into_wit()), error);
    }

    #[test]
    fn a_foreign_error_is_permanent_and_tells_its_causes() {
        let error: Error = serde_json::from_str::<u8>("").unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.message().contains("EOF"), "{error}");
    }
}

//! Our errors in the plugin's words.

use std::time::{Duration, Instant};

use archipel_bindings::latest::archipel::host::types::{
    Applied as WitApplied, Error as WitError, ErrorKind as WitKind,
};
use archipel_model::{Applied, Error, ErrorKind};

/// Bytes of a message that a plugin is given.
const MAX_MESSAGE: usize = 2048;

/// The record that every interface returns. What went wrong inside the host is not the plugin's to read.
pub(crate) fn to_wit(error: Error) -> WitError {
    let kind = match error.kind {
        ErrorKind::Invalid => WitKind::Invalid,
        ErrorKind::Unauthenticated => WitKind::Unauthenticated,
        ErrorKind::Forbidden => WitKind::Forbidden,
        ErrorKind::NotFound => WitKind::NotFound,
        ErrorKind::Conflict => WitKind::Conflict,
        ErrorKind::QuotaExceeded => WitKind::QuotaExceeded,
        ErrorKind::Unsupported => WitKind::Unsupported,
        ErrorKind::Transient => WitKind::Transient,
        ErrorKind::Permanent | ErrorKind::Internal => WitKind::Permanent,
    };
    let mut message = if error.kind == ErrorKind::Internal {
        tracing::error!(%error, "an import failed inside the host");
        "the host failed; its log says why".to_owned()
    } else {
        error.message
    };
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    }
    WitError {
        kind,
        message,
        retry_after_ms: error.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        applied: match error.applied {
            Applied::No => WitApplied::No,
            Applied::Unknown => WitApplied::Unknown,
            Applied::Yes => WitApplied::Yes,
        },
    }
}

/// Runs a host function's work up to the call's deadline.
pub(crate) async fn by<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(result) => result,
        Err(_) => Err(Error::transient("the call's deadline passed inside the host")
            .code("plugin-deadline")
            .retry_after(Duration::from_secs(1))
            .applied(Applied::Unknown)),
    }
}

/// A name that is safe in grants, logs and answers: 1 to 64 of `a-z A-Z 0-9 . _ -`.
pub(crate) fn checked_name(name: &str) -> Result<(), Error> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(Error::invalid("a name has 1 to 64 letters, digits, dots, hyphens and underscores"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_inside_the_host_is_not_told_to_the_plugin() {
        let error = to_wit(Error::internal("sled: /var/lib/archipel/db is gone"));
        assert_eq!(error.kind, WitKind::Permanent);
        assert_eq!(error.message, "the host failed; its log says why");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let error = to_wit(Error::invalid("é".repeat(2000)));
        assert_eq!(error.message.len(), 2048);
    }

    #[tokio::test]
    async fn work_ends_at_the_deadline() {
        let error = by::<()>(Instant::now(), std::future::pending()).await.unwrap_err();
        assert_eq!((error.kind, error.applied), (ErrorKind::Transient, Applied::Unknown));
    }
}

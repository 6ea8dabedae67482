//! How a plugin prepares itself outside any user's call.

use crate::bindings::lifecycle::exports::archipel::plugin::lifecycle as wit;
use crate::error::Result;
use crate::panics::call;
use serde::Serialize;
use std::time::Duration;

pub use wit::File;

/// When a plugin that has nothing to refresh is asked again.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What a refresh leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// At most 1 MiB; calls read it by [`crate::storage::refreshed_bytes`].
    pub state: Vec<u8>,
    /// Ask again after so long.
    pub next_in: Duration,
}

impl Refreshed {
    /// Leaves `state` as JSON; calls read it by [`crate::storage::refreshed`].
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(state: &impl Serialize, next_in: Duration) -> Result<Self> {
        Ok(Self { state: serde_json::to_vec(state)?, next_in })
    }
}

/// Optional preparation.
///
/// `init` runs once per version, configuration and files; the host keeps an image of the instance after it, and
/// every AAA call starts from that image. So parse policies here, into a `static OnceLock`, and keep no random
/// number and no time: they would be the same in every call.
///
/// It has the configuration, the files and the log; storage, secrets, keys and the network are refused, randomness
/// traps and the clock stands still. Two things keep a plugin from such an image, and then `init` runs in every call
/// (`archipel plugin list` says so): a hash seed, which must differ from call to call (use `BTreeMap` rather than
/// `HashMap` in `init`, and typed structs rather than `serde_json::Value`), and a handle of the host that is kept,
/// e.g. of standard output (log rather than print).
pub trait Lifecycle {
    /// Prepares what every call needs from configuration and files. No network, no randomness.
    ///
    /// # Errors
    /// An error keeps this version from serving.
    fn init(files: Vec<File>) -> Result<()> {
        let _ = files;
        Ok(())
    }

    /// Called on the host's timer, with network, never with user data. `previous` is what the last one left.
    ///
    /// # Errors
    /// An error keeps what the last one left; the host asks again later.
    fn refresh(previous: Option<Vec<u8>>) -> Result<Refreshed> {
        Ok(Refreshed { state: previous.unwrap_or_default(), next_in: NEVER })
    }
}

impl<T: Lifecycle> wit::Guest for T {
    fn init(files: Vec<File>) -> std::result::Result<(), wit::Error> {
        call(|| T::init(files))
    }

    fn refresh(previous: Option<Vec<u8>>) -> std::result::Result<wit::Refreshed, wit::Error> {
        call(|| {
            let left = T::refresh(previous)?;
            let next_in_ms = u64::try_from(left.next_in.as_millis()).unwrap_or(u64::MAX);
            Ok(wit::Refreshed { state: left.state, next_in_ms })
        })
    }
}

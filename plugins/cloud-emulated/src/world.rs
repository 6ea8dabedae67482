//! What the cloud stands on: durable storage, a wall clock, chance. In the component it is the host; in tests a map
//! that can stop after any write.
//!
//! There is no plain `set` and no plain `delete`: warm instances of the driver run side by side over one store, so
//! every write says what it believes to replace.

use archipel_sdk::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One page of keys.
pub(crate) struct Keys {
    /// In order.
    pub(crate) keys: Vec<String>,
    /// Hand it back for the next page; none at the end.
    pub(crate) next: Option<String>,
}

/// The outside.
pub(crate) trait World {
    /// The value under `key`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// Writes `new` (none = remove) only over `expected` (none = absent); says whether it did.
    fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool>;
    /// At most `limit` keys that begin with `prefix`, after `cursor`.
    fn keys(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Keys>;
    /// Ms since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// 64 bits of chance.
    fn random(&self) -> u64;
    /// Waits.
    fn sleep(&self, ms: u64);
}

/// How often a compare-and-swap is tried before the caller is told to come back: bounds what one call may spend on
/// a crowded key, far above what the host's concurrency per cloud can cause.
pub(crate) const TRIES: u32 = 200;

/// Steps aside for a moment after a lost race, a little longer each time.
pub(crate) fn step_aside(world: &impl World, attempt: u32) {
    if attempt > 2 {
        world.sleep(world.random() % u64::from(attempt.min(20)));
    }
}

/// The answer when `TRIES` were not enough.
pub(crate) fn too_crowded(what: &str) -> Error {
    Error::transient(format!("{what} is changed by too many at once; try again"))
}

/// A value as it is stored.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::permanent(format!("cannot encode the cloud's state: {error}")))
}

/// A stored value; what cannot be read is never taken for absent.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::permanent(format!("the cloud's state under `{key}` is broken: {error}")))
}

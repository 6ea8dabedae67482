//! The world as the component has it: the host's storage, the wall clock, the sandbox's randomness.
//!
//! Storage that refuses is no fault of the caller's request: its quota must not look like the cloud's quota.

use crate::world::{Keys, World};
use archipel_sdk::{Applied, Error, ErrorKind, Result, clock, storage};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, UNIX_EPOCH};

/// The host.
pub(crate) struct Host;

impl World for Host {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        storage::get_bytes(key).map_err(|error| ours(error, Applied::No))
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        storage::compare_and_swap(key, expected, new).map_err(|error| ours(error, Applied::Unknown))
    }

    fn keys(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Keys> {
        let page = storage::keys_page(prefix, cursor, limit).map_err(|error| ours(error, Applied::No))?;
        Ok(Keys { keys: page.keys, next: page.next })
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn random(&self) -> u64 {
        // Keys from `wasi:random`; the clock as well, in case a sandbox seeds all its instances alike.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u128(UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
        hasher.finish()
    }

    fn sleep(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

fn ours(error: Error, applied: Applied) -> Error {
    let message = format!("the emulated cloud's storage: {error}; see grants.cloud-emulated.storage");
    let kind = match error.kind() {
        ErrorKind::Forbidden => ErrorKind::Permanent,
        _ => ErrorKind::Transient,
    };
    Error::new(kind, message).applied(applied)
}

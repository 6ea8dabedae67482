//! A durable key-value store of this binding alone, with a quota from its grant; and what `refresh` left.
//!
//! Writes need `capabilities.storage` in the manifest, and fail `forbidden` during AAA calls: there the store would
//! be a channel between users. Warm instances of a driver run side by side, so whatever several of them change goes
//! through [`update`].

use crate::bindings::common::archipel::host::{state as host_state, storage as host};
use crate::config::from_json;
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often [`update`] starts over before it gives up: more losses in a row than warm instances can explain.
const UPDATE_ATTEMPTS: u32 = 32;

/// Keys asked for at once.
const PAGE: u32 = 1000;

/// The value under `key`.
///
/// # Errors
/// Those of the host; `permanent` when the value is no JSON of this type.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    get_bytes(key)?.map(|bytes| decode(key, &bytes)).transpose()
}

/// Writes `value` as JSON. Durable when the call that wrote it has ended.
///
/// # Errors
/// Those of the host: `quota-exceeded`, `forbidden` during an AAA call.
pub fn set(key: &str, value: &impl Serialize) -> Result<()> {
    set_bytes(key, &serde_json::to_vec(value)?)
}

/// Reads, changes and writes `key` as one step: `change` is called again when another instance was faster, so it
/// must have no other effect. It returns the new value, none = remove. The result is what was written.
///
/// ```no_run
/// # fn f() -> archipel_sdk::Result<()> {
/// let next = archipel_sdk::storage::update("counter", |old: Option<u64>| Ok(Some(old.unwrap_or(0) + 1)))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of `change` and of the host; `transient` when others were faster every time.
pub fn update<T, F>(key: &str, mut change: F) -> Result<Option<T>>
where
    T: Serialize + DeserializeOwned,
    F: FnMut(Option<T>) -> Result<Option<T>>,
{
    for _ in 0..UPDATE_ATTEMPTS {
        let before = get_bytes(key)?;
        let old = before.as_deref().map(|bytes| decode(key, bytes)).transpose()?;
        let new = change(old)?;
        let after = new.as_ref().map(serde_json::to_vec).transpose()?;
        if compare_and_swap(key, before.as_deref(), after.as_deref())? {
            return Ok(new);
        }
    }
    Err(Error::transient(format!("storage key {key:?} is being written too often; try again")))
}

/// The bytes under `key`.
///
/// # Errors
/// Those of the host.
pub fn get_bytes(key: &str) -> Result<Option<Vec<u8>>> {
    host::get(key).map_err(Error::from_wit)
}

/// Writes bytes (at most 256 KiB).
///
/// # Errors
/// Those of the host.
pub fn set_bytes(key: &str, value: &[u8]) -> Result<()> {
    host::set(key, value).map_err(Error::from_wit)
}

/// Removes `key`; no error when it is absent.
///
/// # Errors
/// Those of the host.
pub fn delete(key: &str) -> Result<()> {
    host::delete(key).map_err(Error::from_wit)
}

/// Writes `new` (none = remove) only if the present value is `expected` (none = absent); says whether it did.
///
/// # Errors
/// Those of the host.
pub fn compare_and_swap(key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
    host::compare_and_swap(key, expected, new).map_err(Error::from_wit)
}

/// All keys that begin with `prefix`, in order.
///
/// # Errors
/// Those of the host.
pub fn keys(prefix: &str) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = keys_page(prefix, cursor.as_deref(), PAGE)?;
        keys.extend(page.keys);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(keys),
        }
    }
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys in order.
    pub keys: Vec<String>,
    /// Where the next page starts; none at the end.
    pub next: Option<String>,
}

/// At most `limit` (1 to 1000) keys that begin with `prefix`, after `cursor`.
///
/// # Errors
/// Those of the host.
pub fn keys_page(prefix: &str, cursor: Option<&str>, limit: u32) -> Result<KeyPage> {
    let page = host::list_keys(prefix, cursor, limit).map_err(Error::from_wit)?;
    Ok(KeyPage { keys: page.keys, next: page.next })
}

/// What the last successful `Lifecycle::refresh` left, as JSON; none before the first.
///
/// # Errors
/// `permanent` when it is no JSON of this type.
pub fn refreshed<T: DeserializeOwned>() -> Result<Option<T>> {
    refreshed_bytes().map(|bytes| decode("refreshed state", &bytes)).transpose()
}

/// What the last successful `Lifecycle::refresh` left; none before the first.
#[must_use]
pub fn refreshed_bytes() -> Option<Vec<u8>> {
    host_state::get()
}

/// JSON, or an error that names the key.
fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    from_json(bytes).map_err(|error| Error::permanent(format!("stored value {key:?} is unreadable: {error}")))
}

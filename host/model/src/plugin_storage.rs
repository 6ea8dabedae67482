//! What plugins keep, as the runtime asks for it and the store provides it.

use async_trait::async_trait;

use crate::Error;

/// A durable key-value store per binding. Writes are visible at once and durable after [`flush`](Self::flush),
/// which the runtime awaits before it gives a call's result to anyone.
#[async_trait]
pub trait PluginStorage: Send + Sync {
    /// The value under a key.
    async fn get(&self, binding: &str, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Writes (`Some`) or removes (`None`) a key. `quota` bounds the bytes (keys and values) of the whole binding:
    /// more is `quota-exceeded`.
    async fn set(&self, binding: &str, key: &str, value: Option<Vec<u8>>, quota: u64) -> Result<(), Error>;
    /// Writes `new` only if the present value is `expected`; says whether it did.
    async fn compare_and_swap(
        &self,
        binding: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
        quota: u64,
    ) -> Result<bool, Error>;
    /// At most `limit` keys that begin with `prefix`, after `cursor`, and where the next page starts.
    async fn list_keys(
        &self,
        binding: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), Error>;
    /// Makes all that was written durable; many callers share one flush.
    async fn flush(&self) -> Result<(), Error>;
}

//! What plugins keep: small values under a binding's own keys, within the binding's quota.
//!
//! The quota is a counter with a bound, changed in the commit that writes, so it holds however many calls write at
//! once. Writes are buffered: seen at once, durable after [`PluginStorage::flush`], which the runtime awaits before it
//! gives a call's result to anyone; a call that writes ten keys pays one flush.

use std::sync::Arc;

use archipel_model::plugin_storage::PluginStorage;
use archipel_model::{Error, ErrorKind};
use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::{Commit, CommitError, Engine, Range};
use crate::keys;
use crate::record::{TRIES, busy, refusal};

/// Bytes of a plugin's key: with the binding's name it must stay within the engine's.
const MAX_KEY_BYTES: usize = 1024;
/// Bytes of a plugin's value: the old and the new one must fit one commit.
const MAX_VALUE_BYTES: usize = 256 * 1024;
/// Keys of one page.
const MAX_PAGE: usize = 1000;

pub(crate) struct PluginCollection {
    pub(crate) engine: Arc<dyn Engine>,
}

impl PluginCollection {
    /// Writes `new` if the present value is `expected`.
    async fn replace(
        &self,
        binding: &str,
        key: &str,
        expected: Option<Bytes>,
        new: Option<Vec<u8>>,
        quota: u64,
    ) -> Result<bool, Error> {
        let stored = keys::plugin(binding, key);
        let size = |value: Option<usize>| match value {
            Some(bytes) => i64::try_from(bytes.saturating_add(key.len())).unwrap_or(i64::MAX),
            None => 0,
        };
        let delta = size(new.as_ref().map(Vec::len)).saturating_sub(size(expected.as_ref().map(Bytes::len)));
        let mut commit = Commit { buffered: true, ..Commit::new() };
        commit.is(stored.clone(), expected).add(keys::plugin_bytes(binding), delta, Some(quota));
        match new {
            Some(value) => commit.put(stored, value),
            None => commit.delete(stored),
        };
        match self.engine.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Bound { held, .. }) => Err(Error::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "the plugin keeps {held} bytes and may keep {quota}; remove some, or grant it more storage"
                ),
            )),
            Err(error) => Err(refusal(error)),
        }
    }
}

fn check(key: &str, value: Option<&Vec<u8>>) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::invalid(format!("a storage key has 1 to {MAX_KEY_BYTES} bytes; shorten it")));
    }
    match value {
        Some(value) if value.len() > MAX_VALUE_BYTES => {
            Err(Error::invalid(format!("a stored value has at most {MAX_VALUE_BYTES} bytes; split it")))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl PluginStorage for PluginCollection {
    async fn get(&self, binding: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check(key, None)?;
        Ok(self.engine.get(&keys::plugin(binding, key)).await?.map(|value| value.to_vec()))
    }

    async fn set(&self, binding: &str, key: &str, value: Option<Vec<u8>>, quota: u64) -> Result<(), Error> {
        check(key, value.as_ref())?;
        for _ in 0..TRIES {
            let present = self.engine.get(&keys::plugin(binding, key)).await?;
            if present.is_none() && value.is_none() {
                return Ok(());
            }
            if self.replace(binding, key, present, value.clone(), quota).await? {
                return Ok(());
            }
        }
        Err(busy())
    }

    async fn compare_and_swap(
        &self,
        binding: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
        quota: u64,
    ) -> Result<bool, Error> {
        check(key, new.as_ref())?;
        if expected.as_ref().is_some_and(|expected| expected.len() > MAX_VALUE_BYTES) {
            return Ok(false);
        }
        self.replace(binding, key, expected.map(Bytes::from), new, quota).await
    }

    async fn list_keys(
        &self,
        binding: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        let own = keys::plugin(binding, "").len();
        let mut range = Range::prefix(&keys::plugin(binding, prefix), limit.saturating_add(1));
        if let Some(cursor) = cursor {
            range = range.after(&keys::plugin(binding, cursor));
        }
        let entries = self.engine.range(&range).await?;
        let mut names: Vec<String> = entries
            .iter()
            .filter_map(|(key, _)| key.get(own..).map(|name| String::from_utf8_lossy(name).into_owned()))
            .collect();
        let more = names.len() > limit;
        names.truncate(limit);
        let next = if more { names.last().cloned() } else { None };
        Ok((names, next))
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(self.engine.flush().await?)
    }
}

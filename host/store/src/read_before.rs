//! Records that were decoded a moment ago: orders and sessions are read again and again, and decoding one takes longer
//! than all else that a read does.
//!
//! The engine is asked each time and stays the truth: what is kept is used only while the engine's bytes are the very ones
//! that it was decoded from.

use std::hash::Hash;
use std::sync::Arc;

use archipel_model::Error;
use bytes::Bytes;
use moka::sync::Cache;

use crate::record::{Record, decode};

/// Records that are kept, of some 5 KiB each.
const MOST: u64 = 4096;

pub(crate) struct ReadBefore<K, R>(Cache<K, Arc<(Bytes, R)>>);

impl<K, R> Default for ReadBefore<K, R>
where
    K: Hash + Eq + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl<K, R> ReadBefore<K, R>
where
    K: Hash + Eq + Send + Sync + 'static,
    R: Record + Clone + Send + Sync + 'static,
{
    /// What `raw`, the record of `key` as the engine gives it now, says.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub(crate) fn decoded(&self, key: K, raw: &Bytes) -> Result<R, Error> {
        if let Some(kept) = self.0.get(&key).filter(|kept| kept.0 == *raw) {
            return Ok(kept.1.clone());
        }
        let record: R = decode(raw)?;
        self.0.insert(key, Arc::new((raw.clone(), record.clone())));
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::record::encode;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Number(u64);

    impl Record for Number {
        const NAME: &'static str = "number";
    }

    #[test]
    fn what_the_engine_gives_now_is_what_is_read() {
        let kept = ReadBefore::<u8, Number>::default();
        for number in [1, 1, 2, 1] {
            let raw = encode(&Number(number)).unwrap();
            assert_eq!(kept.decoded(7, &raw).unwrap(), Number(number));
        }
        assert!(kept.decoded(7, &Bytes::from_static(b"\x01{")).is_err());
    }
}

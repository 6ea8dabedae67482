//! Judgements that may be reused for a little while. Nothing here is the truth of anything: every entry can be made anew.
//!
//! An entry holds while its own end has not come, and while no revocation came after the work on it began. The second
//! is kept by an epoch: a reader takes the epoch *before* it reads the store, and the entry carries it; a revocation
//! raises the epoch *after* it is durable. So an entry made from a state before a revocation is never used after it,
//! however the two interleave. The generation's number is part of every key, so a swap empties the caches too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipel_model::plugin::Field;
use archipel_model::{FederationUser, SecretBytes, SessionId, Timestamp};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::Granted;

/// Entries are dropped after so long whatever they say, so that tokens of people who left do not stay in memory.
const LONGEST: Duration = Duration::from_secs(120);

/// A judged token, without the generation: an entry must not keep an old one alive.
#[derive(Clone)]
pub(crate) struct KnownToken {
    pub(crate) user: FederationUser,
    pub(crate) user_digest: [u8; 32],
    pub(crate) binding: String,
    pub(crate) session: Option<SessionId>,
    pub(crate) token: SecretBytes,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) group: Option<String>,
}

/// An allow that may be given again.
#[derive(Clone)]
pub(crate) struct KnownDecision {
    pub(crate) granted: Granted,
    pub(crate) log: Vec<String>,
}

struct Entry<T> {
    value: T,
    epoch: u64,
    until: Timestamp,
}

pub(crate) struct Caches {
    epoch: AtomicU64,
    tokens: Cache<[u8; 32], Arc<Entry<KnownToken>>>,
    decisions: Cache<[u8; 32], Arc<Entry<KnownDecision>>>,
    fields: Cache<String, Arc<Vec<Field>>>,
}

impl Caches {
    pub(crate) fn new(entries: u64) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            tokens: Cache::builder().max_capacity(entries).time_to_live(LONGEST).build(),
            decisions: Cache::builder().max_capacity(entries).time_to_live(LONGEST).build(),
            fields: Cache::builder().max_capacity(256).build(),
        }
    }

    /// To be taken before the state is read that an entry is made from.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Ends every entry.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.tokens.invalidate_all();
        self.decisions.invalidate_all();
        self.fields.invalidate_all();
    }

    pub(crate) fn token(&self, key: &[u8; 32], now: Timestamp) -> Option<KnownToken> {
        self.usable(&self.tokens, key, now)
    }

    pub(crate) fn keep_token(&self, key: [u8; 32], value: KnownToken, epoch: u64, until: Timestamp) {
        self.tokens.insert(key, Arc::new(Entry { value, epoch, until }));
    }

    pub(crate) fn decision(&self, key: &[u8; 32], now: Timestamp) -> Option<KnownDecision> {
        self.usable(&self.decisions, key, now)
    }

    pub(crate) fn keep_decision(&self, key: [u8; 32], value: KnownDecision, epoch: u64, until: Timestamp) {
        self.decisions.insert(key, Arc::new(Entry { value, epoch, until }));
    }

    /// The credential fields of a binding; constant per digest of plugin and configuration.
    pub(crate) fn fields(&self, digest: &str) -> Option<Arc<Vec<Field>>> {
        self.fields.get(digest)
    }

    pub(crate) fn keep_fields(&self, digest: &str, fields: Arc<Vec<Field>>) {
        self.fields.insert(digest.to_owned(), fields);
    }

    fn usable<T: Clone + Send + Sync + 'static>(
        &self,
        cache: &Cache<[u8; 32], Arc<Entry<T>>>,
        key: &[u8; 32],
        now: Timestamp,
    ) -> Option<T> {
        let entry = cache.get(key)?;
        (entry.epoch == self.epoch() && now < entry.until).then(|| entry.value.clone())
    }
}

/// A key from parts: each with its length, so that two different lists of parts never make the same key.
pub(crate) struct KeyHasher(Sha256);

impl KeyHasher {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.text(purpose);
        hasher
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.0.update([1]);
                self.text(text);
            }
            None => self.0.update([0]),
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

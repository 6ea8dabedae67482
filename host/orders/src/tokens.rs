//! Local tokens, cached per (cloud, account, mapper digest): the predecessor logged in to its cloud for every poll.
//!
//! Many that ask for one account at a time share one call to the mapper. A token is renewed before it ends; a driver that
//! answers `unauthenticated` has it dropped. A refusal is shared too, for a moment or for as long as the mapper asks, so that
//! a thousand orders of one account make one call and not a thousand: clouds lock accounts for less. A change of the
//! configuration ends every refusal, for it may have put right what was refused; a change of the site's secrets ends every
//! token, for it may have been made of an old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipel_model::plugin::Context;
use archipel_model::site::CloudBinding;
use archipel_model::{Clock, Error, LocalToken, SecretBytes, Timestamp};

use crate::pace;
use crate::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cloud: String,
    account: String,
    mapper_digest: String,
}

#[derive(Clone)]
struct Held {
    answer: Result<LocalToken, Error>,
    fresh_until: Timestamp,
    epoch: u64,
    secrets: u64,
}

/// The cache.
pub(crate) struct Tokens {
    held: moka::future::Cache<Key, Arc<Held>>,
    clock: Arc<dyn Clock>,
    made: AtomicU64,
    epoch: AtomicU64,
    secrets: AtomicU64,
    settings: Settings,
}

impl Tokens {
    pub(crate) fn new(clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            held: moka::future::Cache::new(settings.tokens_most),
            clock,
            made: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            secrets: AtomicU64::new(0),
            settings: settings.clone(),
        }
    }

    /// A token for an account that was decided earlier.
    pub(crate) async fn get(
        &self,
        cloud: &CloudBinding,
        account: &str,
        context: &Context,
        session: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        let (now, epoch) = (self.clock.now(), self.epoch.load(Ordering::Relaxed));
        let secrets = self.secrets.load(Ordering::Acquire);
        let make = async {
            self.made.fetch_add(1, Ordering::Relaxed);
            let call = cloud.mapper.get_token(account, cloud.name.as_str(), context, session);
            let answer = within(Settings::ms(self.settings.call_timeout_ms), call).await;
            let now = self.clock.now();
            let fresh_until = match &answer {
                Ok(token) => self.fresh_until(now, token),
                Err(error) => {
                    let moment = Settings::ms(self.settings.token_refusal_ms);
                    now.plus(pace::respecting(error, moment, &self.settings))
                }
            };
            Arc::new(Held { answer, fresh_until, epoch, secrets })
        };
        let entry = self
            .held
            .entry(key(cloud, account))
            .or_insert_with_if(make, |held| {
                held.fresh_until <= now
                    || held.secrets < secrets
                    || (held.answer.is_err() && held.epoch < epoch)
            })
            .await;
        entry.into_value().answer.clone()
    }

    /// Forgets a token that a driver would not take.
    pub(crate) async fn drop_token(&self, cloud: &CloudBinding, account: &str) {
        self.held.invalidate(&key(cloud, account)).await;
    }

    /// Ends every refusal: the configuration changed.
    pub(crate) fn forget_refusals(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends every token: the site's secrets changed.
    pub(crate) fn forget_all(&self) {
        self.secrets.fetch_add(1, Ordering::Release);
    }

    /// How often a mapper was asked.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    fn fresh_until(&self, now: Timestamp, token: &LocalToken) -> Timestamp {
        match token.expires_at {
            Some(end) => {
                let margin = Settings::ms(self.settings.token_margin_ms);
                end.minus(margin.min(end.since(now) / 4))
            }
            None => now.plus(Settings::ms(self.settings.token_age_ms)),
        }
    }
}

fn key(cloud: &CloudBinding, account: &str) -> Key {
    Key {
        cloud: cloud.name.as_str().to_owned(),
        account: account.to_owned(),
        mapper_digest: cloud.mapper_digest.clone(),
    }
}

/// A call to a plugin that may not take longer: the runtime's deadline is shorter, this one protects the queue's slots
/// from a runtime that does not keep it.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(Error::transient("the plugin did not answer in time")
            .code("plugin-deadline")
            .applied(archipel_model::Applied::Unknown))
    })
}

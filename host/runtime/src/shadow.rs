//! A new version in the shadow of the one that serves: asked the same, after it, and never heard.
//!
//! ```text
//! caller ─▶ serving version ─▶ answer to the caller
//!                    └─ then, on the plugins' threads ─▶ candidate ─▶ compared, counted, forgotten
//! ```
//! What always holds:
//! - The caller gets what the serving version said, when it said it: the candidate begins afterwards, and one that is busy
//!   with [`AT_ONCE`] calls is not asked.
//! - A candidate changes nothing. It decides (authorization, `map-user`) or looks (quota, specs, images, networks);
//!   `get-token` and everything that makes or deletes is never asked of it. Requests of it may only look (GET, HEAD), what it
//!   stores is thrown away, it signs, logs in and reveals nothing.
//! - Its failures are its own: figures, strikes and evidence stand under its name.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archipel_model::plugin::{
    Authorization, CloudNetwork, Context, Decision, ImageDriver, ImageEntry, Mapper, NetworkLister,
    QuotaDriver, QuotaEntry, Resource, SpecDriver, SpecEntry,
};
use archipel_model::plugin_shadow::{ShadowDifference, ShadowStatus};
use archipel_model::{Error, FederationUser, LocalToken, SecretBytes};
use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::adapt::Component;
use crate::call::Binding;

/// Calls of a candidate at a time; also the most slots that it takes from others.
pub(crate) const AT_ONCE: usize = 2;
/// Differences that are kept.
const KEPT: usize = 32;
/// Bytes of an answer as it is kept.
const MAX_TEXT: usize = 512;

/// What came of one version's time in the shadow.
#[derive(Debug)]
pub(crate) struct ShadowReport {
    inner: Mutex<ShadowStatus>,
    differences: Mutex<VecDeque<ShadowDifference>>,
    places: Arc<Semaphore>,
}

impl Default for ShadowReport {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            differences: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl ShadowReport {
    fn lock(&self) -> MutexGuard<'_, ShadowStatus> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As an administrator sees it, beside the plugin `of`.
    pub(crate) fn status(&self, of: &str) -> ShadowStatus {
        let kept = self.differences.lock().unwrap_or_else(PoisonError::into_inner);
        ShadowStatus {
            of: of.to_owned(),
            differences: kept.iter().rev().cloned().collect(),
            ..self.lock().clone()
        }
    }

    /// Counts two answers to one question.
    fn compare<T: PartialEq + Debug>(
        &self,
        served: &Result<T, Error>,
        candidate: &Result<T, Error>,
        describe: impl FnOnce(String, String) -> ShadowDifference,
    ) {
        let broke_off = |error: &Error| {
            [
                "plugin-trap",
                "plugin-deadline",
                "plugin-memory",
                "plugin-busy",
                "plugin-away",
                "aaa-unavailable",
            ]
            .iter()
            .any(|code| error.has_code(code))
        };
        if candidate.as_ref().is_err_and(broke_off) {
            self.lock().failed += 1;
            return;
        }
        // Words of errors are for people, and may tell of times and ids.
        let agree = match (served, candidate) {
            (Ok(one), Ok(other)) => one == other,
            (Err(one), Err(other)) => one.kind == other.kind,
            _ => false,
        };
        if agree {
            self.lock().agreed += 1;
            return;
        }
        self.lock().differed += 1;
        let difference = describe(shown(served), shown(candidate));
        tracing::warn!(
            function = %difference.function, about = %difference.about, served = %difference.served,
            candidate = %difference.candidate, "a candidate says something else"
        );
        let mut kept = self.differences.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(difference);
    }
}

fn shown<T: Debug>(answer: &Result<T, Error>) -> String {
    let mut text = match answer {
        Ok(answer) => crate::host::escape(&format!("{answer:?}")),
        Err(error) => crate::host::escape(&format!("{}: {}", error.kind.as_str(), error.message)),
    };
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// The serving version, with a candidate in its shadow.
pub(crate) struct Shadowed {
    pub(crate) serving: Component,
    pub(crate) candidate: Arc<Binding>,
}

impl Shadowed {
    /// Asks the candidate too, unless it is busy, and compares. `served` is what the caller gets.
    fn beside<T: PartialEq + Debug + Send + 'static>(
        &self,
        function: &'static str,
        about: &str,
        served: Result<T, Error>,
        ask: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) {
        let report = Arc::clone(&self.candidate.plugin.shadow);
        let Ok(place) = Arc::clone(&report.places).try_acquire_owned() else {
            report.lock().skipped += 1;
            return;
        };
        let clock = Arc::clone(&self.candidate.context.services.clock);
        let about = about.to_owned();
        self.candidate.machine.threads.spawn(async move {
            let answer = ask.await;
            report.compare(&served, &answer, |served, candidate| ShadowDifference {
                at: clock.now(),
                function: function.to_owned(),
                about,
                served,
                candidate,
            });
            drop(place);
        });
    }

    fn candidate(&self) -> Component {
        Component(Arc::clone(&self.candidate))
    }
}

#[async_trait]
impl Authorization for Shadowed {
    async fn is_authorized(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        let served = self.serving.is_authorized(user, resource, context).await;
        let (candidate, user, resource, asked) =
            (self.candidate(), user.clone(), resource.clone(), context.clone());
        self.beside("authorization.is-authorized", &context.request_id, served.clone(), async move {
            candidate.is_authorized(&user, &resource, &asked).await
        });
        served
    }

    async fn are_authorized(
        &self,
        user: &FederationUser,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<Decision>, Error> {
        let served = self.serving.are_authorized(user, resources, context).await;
        let (candidate, user, resources, asked) =
            (self.candidate(), user.clone(), resources.to_vec(), context.clone());
        self.beside("authorization.are-authorized", &context.request_id, served.clone(), async move {
            candidate.are_authorized(&user, &resources, &asked).await
        });
        served
    }
}

#[async_trait]
impl Mapper for Shadowed {
    async fn map_user(&self, user: &FederationUser, cloud: &str, context: &Context) -> Result<String, Error> {
        let served = self.serving.map_user(user, cloud, context).await;
        let (candidate, user, cloud, asked) =
            (self.candidate(), user.clone(), cloud.to_owned(), context.clone());
        self.beside("federation-to-local-mapper.map-user", &context.request_id, served.clone(), async move {
            candidate.map_user(&user, &cloud, &asked).await
        });
        served
    }

    /// Logs in somewhere: the serving version's alone.
    async fn get_token(
        &self,
        account: &str,
        cloud: &str,
        context: &Context,
        session: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        self.serving.get_token(account, cloud, context, session).await
    }
}

/// A list without the order in which a cloud happens to give it.
fn sorted<T>(list: Result<Vec<T>, Error>, key: impl Fn(&T) -> String) -> Result<Vec<T>, Error> {
    list.map(|mut list| {
        list.sort_by_cached_key(|item| key(item));
        list
    })
}

#[async_trait]
impl QuotaDriver for Shadowed {
    async fn get_user_quota(&self, token: &LocalToken) -> Result<Vec<QuotaEntry>, Error> {
        let served = self.serving.get_user_quota(token).await;
        let (candidate, lent) = (self.candidate(), token.clone());
        let key = |entry: &QuotaEntry| entry.name.clone();
        self.beside("quota.get-user-quota", &token.account, sorted(served.clone(), key), async move {
            sorted(candidate.get_user_quota(&lent).await, key)
        });
        served
    }
}

#[async_trait]
impl SpecDriver for Shadowed {
    async fn get_all_specs(&self, token: &LocalToken) -> Result<Vec<SpecEntry>, Error> {
        let served = self.serving.get_all_specs(token).await;
        let (candidate, lent) = (self.candidate(), token.clone());
        let key = |entry: &SpecEntry| entry.id.clone();
        self.beside("spec.get-all-specs", &token.account, sorted(served.clone(), key), async move {
            sorted(candidate.get_all_specs(&lent).await, key)
        });
        served
    }

    async fn get_spec(&self, id: &str, token: &LocalToken) -> Result<SpecEntry, Error> {
        let served = self.serving.get_spec(id, token).await;
        let (candidate, lent, id) = (self.candidate(), token.clone(), id.to_owned());
        self.beside("spec.get-spec", &token.account, served.clone(), async move {
            candidate.get_spec(&id, &lent).await
        });
        served
    }
}

#[async_trait]
impl ImageDriver for Shadowed {
    async fn get_all_images(&self, token: &LocalToken) -> Result<Vec<ImageEntry>, Error> {
        let served = self.serving.get_all_images(token).await;
        let (candidate, lent) = (self.candidate(), token.clone());
        let key = |entry: &ImageEntry| entry.id.clone();
        self.beside("image.get-all-images", &token.account, sorted(served.clone(), key), async move {
            sorted(candidate.get_all_images(&lent).await, key)
        });
        served
    }

    async fn get_image(&self, id: &str, token: &LocalToken) -> Result<ImageEntry, Error> {
        let served = self.serving.get_image(id, token).await;
        let (candidate, lent, id) = (self.candidate(), token.clone(), id.to_owned());
        self.beside("image.get-image", &token.account, served.clone(), async move {
            candidate.get_image(&id, &lent).await
        });
        served
    }
}

#[async_trait]
impl NetworkLister for Shadowed {
    async fn get_all_networks(&self, token: &LocalToken) -> Result<Vec<CloudNetwork>, Error> {
        let served = self.serving.get_all_networks(token).await;
        let (candidate, lent) = (self.candidate(), token.clone());
        let key = |entry: &CloudNetwork| entry.id.clone();
        self.beside("network.get-all-networks", &token.account, sorted(served.clone(), key), async move {
            sorted(candidate.get_all_networks(&lent).await, key)
        });
        served
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::Timestamp;

    use super::*;

    fn difference(served: String, candidate: String) -> ShadowDifference {
        ShadowDifference {
            at: Timestamp::default(),
            function: "f".into(),
            about: String::new(),
            served,
            candidate,
        }
    }

    #[test]
    fn answers_are_compared_as_what_they_are_and_errors_by_their_kind() {
        let report = ShadowReport::default();
        let compare =
            |one: Result<u8, Error>, other: Result<u8, Error>| report.compare(&one, &other, difference);
        compare(Ok(1), Ok(1));
        compare(Err(Error::forbidden("no")), Err(Error::forbidden("not you")));
        compare(Ok(1), Ok(2));
        compare(Ok(1), Err(Error::forbidden("no")));
        compare(Err(Error::forbidden("no")), Err(Error::invalid("no")));
        compare(Ok(1), Err(Error::transient("it trapped").code("plugin-trap")));
        let status = report.status("live");
        assert_eq!((status.agreed, status.differed, status.failed, status.skipped), (2, 3, 1, 0));
        assert_eq!(status.of, "live");
        assert_eq!(
            (status.differences[2].served.as_str(), status.differences[2].candidate.as_str()),
            ("1", "2")
        );
        assert_eq!(status.differences[1].candidate, "forbidden: no");
    }

    #[test]
    fn only_the_last_differences_are_kept_and_long_ones_are_cut() {
        let report = ShadowReport::default();
        for number in 0..100_u32 {
            report.compare(&Ok(String::new()), &Ok(format!("{number}{}", "é".repeat(1000))), difference);
        }
        let status = report.status("live");
        assert_eq!((status.differed, status.differences.len()), (100, KEPT));
        assert!(status.differences[0].candidate.starts_with("\"99"));
        assert!(status.differences.iter().all(|difference| difference.candidate.len() <= MAX_TEXT));
    }
}

//! `[limits.*]`: every bound of the site, each part documented where it holds.

use std::time::Duration;

use archipel_api::ApiLimits;
use archipel_identity::IdentityConfig;
use archipel_model::SiteId;
use archipel_orders::Settings;
use archipel_runtime::config::RuntimeLimits;
use serde::Deserialize;

/// `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Bounds of the sandbox.
    pub(crate) plugins: RuntimeLimits,
    /// Bounds of REST.
    pub(crate) api: ApiLimits,
    /// Times of the order's life.
    pub(crate) orders: Settings,
    /// Times of sessions and of what is remembered about them.
    pub(crate) identity: IdentityLimits,
}

/// `[limits.identity]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdentityLimits {
    /// Seconds for which a judgement on a token is reused at most; 0 asks the plugins on every request.
    pub(crate) auth_cache_ttl_s: f64,
    /// Seconds for which an allow that states `valid-for` is reused at most; 0 asks the chain on every request.
    pub(crate) decision_cache_ttl_s: f64,
    /// Seconds a session lasts where nothing ends it earlier.
    pub(crate) session_lifetime_s: u64,
    /// Seconds for which a login's challenge may be answered.
    pub(crate) challenge_lifetime_s: u64,
    /// Logins per second and client address.
    pub(crate) logins_per_second: f64,
    /// Logins at once per client address, before the rate holds.
    pub(crate) login_burst: u32,
    /// Entries of each cache.
    pub(crate) cache_entries: u64,
}

impl Default for IdentityLimits {
    fn default() -> Self {
        Self {
            auth_cache_ttl_s: 10.0,
            decision_cache_ttl_s: 60.0,
            session_lifetime_s: 12 * 3600,
            challenge_lifetime_s: 600,
            logins_per_second: 10.0,
            login_burst: 20,
            cache_entries: 20_000,
        }
    }
}

impl IdentityLimits {
    /// As identity wants it.
    pub(crate) fn config(&self, site: SiteId) -> IdentityConfig {
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        IdentityConfig {
            auth_cache_ttl: seconds(self.auth_cache_ttl_s),
            decision_cache_ttl: seconds(self.decision_cache_ttl_s),
            session_lifetime: Duration::from_secs(self.session_lifetime_s),
            challenge_lifetime: Duration::from_secs(self.challenge_lifetime_s),
            logins_per_second: self.logins_per_second,
            login_burst: self.login_burst,
            cache_entries: self.cache_entries,
            ..IdentityConfig::new(site)
        }
    }
}

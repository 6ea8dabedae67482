//! `[limits.*]`: every bound of the site, each part documented where it holds.

use std::time::Duration;

use archipel_api::ApiLimits;
use archipel_egress::EgressLimits;
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
    /// Requests that leave the site.
    pub(crate) egress: OutgoingLimits,
}

/// `[limits.egress]`: requests of plugins and webhooks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutgoingLimits {
    /// Milliseconds for one attempt to resolve, to connect, to shake hands: a silent address must not use up a whole call.
    pub(crate) connect_ms: u64,
    /// Requests that one binding has open: one plugin must not take all ports and sockets.
    pub(crate) concurrent_per_binding: u32,
    /// Idle connections kept per origin and TLS identity of a binding.
    pub(crate) idle_per_origin: u32,
    /// Seconds for which they are kept.
    pub(crate) idle_s: u64,
    /// MiB of a request's body.
    pub(crate) request_mib: u64,
    /// MiB of an answer's body: a cloud must not fill the host's memory through a plugin.
    pub(crate) response_mib: u64,
    /// Requests that the ledger of an order keeps, the newest: an order that is looked at for a year must not fill the disk.
    pub(crate) ledger_per_order: u32,
    /// Requests that may wait to be written into ledgers: a slow disk must not fill the memory.
    pub(crate) ledger_waiting: u32,
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self {
            connect_ms: 10_000,
            concurrent_per_binding: 64,
            idle_per_origin: 8,
            idle_s: 30,
            request_mib: 64,
            response_mib: 32,
            ledger_per_order: 256,
            ledger_waiting: 10_000,
        }
    }
}

impl OutgoingLimits {
    /// As egress wants it.
    pub(crate) fn egress(&self) -> EgressLimits {
        let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        EgressLimits {
            connect: Duration::from_millis(self.connect_ms),
            concurrent_per_binding: many(self.concurrent_per_binding),
            idle_per_origin: many(self.idle_per_origin),
            idle_timeout: Duration::from_secs(self.idle_s),
            request_bytes: self.request_mib.saturating_mul(1 << 20),
            response_bytes: self.response_mib.saturating_mul(1 << 20),
        }
    }
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

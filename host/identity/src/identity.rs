//! The one object that the rest of the host asks. Its methods live beside the idea they belong to: `login`,
//! `authenticate`, `authorize`, `sessions`.

use std::sync::Arc;

use archipel_model::plugin::{Context, Operation};
use archipel_model::site::Site;
use archipel_model::{Clock, Error, Timestamp};
use tokio::sync::watch;

use crate::cache::Caches;
use crate::rate::LoginRate;
use crate::store::SessionStore;
use crate::{AAA_UNAVAILABLE, Caller, IdentityConfig, RequestInfo, SiteKeys, config};

/// Sessions and the AAA pipeline of one site.
pub struct Identity {
    pub(crate) site: Arc<dyn Site>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) keys: Arc<SiteKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: IdentityConfig,
    pub(crate) caches: Caches,
    pub(crate) rate: LoginRate,
    pub(crate) revocations: watch::Sender<u64>,
}

impl Identity {
    /// Puts it together; nothing is asked yet.
    pub fn new(
        site: Arc<dyn Site>,
        sessions: Arc<dyn SessionStore>,
        keys: Arc<SiteKeys>,
        clock: Arc<dyn Clock>,
        config: IdentityConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            caches: Caches::new(config.cache_entries),
            rate: LoginRate::new(config.logins_per_second, config.login_burst),
            revocations: watch::Sender::new(0),
            site,
            sessions,
            keys,
            clock,
            config,
        })
    }

    /// Grows with every revocation: whoever serves a stream or a long wait authenticates anew then.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Ends every cached judgement. A swap needs no call (entries belong to one generation); a reload of files that
    /// plugins read does.
    pub fn forget_cached(&self) {
        self.caches.forget();
    }

    /// Tells everybody that a revocation is durable.
    pub(crate) fn revoked(&self) {
        self.caches.forget();
        self.revocations.send_modify(|count| *count += 1);
    }

    pub(crate) fn context(
        &self,
        operation: Operation,
        request: &RequestInfo,
        group: Option<&str>,
        now: Timestamp,
    ) -> Context {
        Context {
            request_id: request.request_id.clone(),
            now,
            operation,
            this_site: self.config.site.clone(),
            requesting_site: request.requesting_site.clone(),
            client_address: request.client_address.clone(),
            group: group.map(str::to_owned),
        }
    }

    /// The service principal `monitor`, as which benchmarks order: judged by the site's chain like anybody, and known by no
    /// plugin's token. Give it to nobody who did not come through the administrator's socket.
    pub fn local_monitor(&self, request: &RequestInfo) -> Caller {
        let mut caller = self.local_admin(request);
        caller.user.subject = "monitor".to_owned();
        caller.user.name = "local:monitor".to_owned();
        Caller { built_in_admin: false, ..caller }
    }

    /// The principal of the administrator's socket: allowed everything, so that plugins which fail closed can never
    /// lock the administrator out. Give it to nobody who did not come through that socket.
    pub fn local_admin(&self, _request: &RequestInfo) -> Caller {
        let now = self.clock.now();
        Caller {
            user: archipel_model::FederationUser {
                issuer: crate::BUILT_IN_ISSUER.to_owned(),
                subject: "admin".to_owned(),
                name: "local:admin".to_owned(),
                email: None,
                groups: Vec::new(),
                entitlements: Vec::new(),
                attributes: Vec::new(),
                home_site: None,
                assurance: String::new(),
                authenticated_at: now,
                expires_at: None,
            },
            binding: "built-in".to_owned(),
            session: None,
            token: None,
            group: None,
            built_in_admin: true,
            generation: self.site.current(),
            expires_at: None,
            user_digest: [0; 32],
        }
    }
}

/// The one sentence for every refused token: it tells a guesser nothing. `why` goes to the log.
pub(crate) fn refused(request: &RequestInfo, why: &str) -> Error {
    tracing::info!(request = %request.request_id, address = ?request.client_address, why, "token refused");
    Error::unauthenticated("the token is missing, wrong or has ended; log in again")
}

/// Something that judges is away. `why` goes to the log.
pub(crate) fn away(request: &RequestInfo, why: &str, cause: Option<&Error>) -> Error {
    let cause_text = cause.map(|error| format!("{}: {}", error.kind, error.message));
    tracing::warn!(request = %request.request_id, why, cause = cause_text.as_deref(), "aaa is away");
    Error::transient("who you are or what you may do cannot be judged now; try again shortly")
        .code(AAA_UNAVAILABLE)
        .retry_after(cause.and_then(|error| error.retry_after).unwrap_or(config::DEFAULT_RETRY))
}

//! What the interface stands on: handed over once by the daemon, shared by every request.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipel_identity::{Identity, SiteKeys};
use archipel_model::egress::EgressLog;
use archipel_model::plugin_admin::PluginAdmin;
use archipel_model::publisher::PublisherAdmin;
use archipel_model::site::Site;
use archipel_model::{Clock, Error, SiteId};
use archipel_orders::Orders;
use archipel_orders::usage::UsageStore;
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::audit::Audit;
use crate::idempotency::Flights;
use crate::metrics::Metrics;
use crate::routes::events::places::Places;
use crate::routes::health::Readiness;
use crate::{ApiLimits, openapi};

/// What a site says of itself.
#[derive(Clone, Debug)]
pub struct SiteInfo {
    /// Its id.
    pub id: SiteId,
    /// The daemon's version.
    pub version: String,
}

/// What a reload of the configuration did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// The generation that serves now.
    pub generation: u64,
    /// What changed, in a person's words.
    pub changed: Vec<String>,
    /// Keys whose change waits for a restart.
    pub needs_restart: Vec<String>,
}

/// Reads the site file again. The daemon implements it.
#[async_trait]
pub trait ReloadHook: Send + Sync {
    /// Takes the new configuration whole, or not at all.
    ///
    /// # Errors
    /// `invalid` with what is wrong; the old configuration still serves.
    async fn reload(&self) -> Result<Reloaded, Error>;
}

/// Everything the interface needs.
#[derive(Clone)]
pub struct ApiState {
    /// Who asks, and what he may do.
    pub identity: Arc<Identity>,
    /// What he wants.
    pub orders: Arc<Orders>,
    /// Clouds and plugins that serve now.
    pub site: Arc<dyn Site>,
    /// For administrators.
    pub plugins: Arc<dyn PluginAdmin>,
    /// What sends events somewhere else; `NoPublishers` where there is none.
    pub publishers: Arc<dyn PublisherAdmin>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys, for cursors.
    pub keys: Arc<SiteKeys>,
    /// Names.
    pub info: SiteInfo,
    /// Limits.
    pub limits: ApiLimits,
    /// Reads the site file again; `None` where it cannot be.
    pub reload: Option<Arc<dyn ReloadHook>>,
    /// What orders used.
    pub usage: Arc<dyn UsageStore>,
    /// Which requests left for an order.
    pub egress: Arc<dyn EgressLog>,
    /// Who did what; shared by both doors.
    pub audit: Audit,
    /// Figures of requests, shared by both doors; `Metrics::default()`.
    pub metrics: Metrics,
}

/// Through which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// TCP: every request brings a token.
    Public,
    /// The administrator's socket: every request is `local:admin`'s.
    Admin,
}

/// One door's state.
pub(crate) struct Shared {
    pub(crate) state: ApiState,
    pub(crate) door: Door,
    pub(crate) flights: Flights,
    pub(crate) requests: Semaphore,
    pub(crate) logins: Semaphore,
    pub(crate) waits: Semaphore,
    pub(crate) event_streams: Arc<Places>,
    pub(crate) readiness: Readiness,
    /// The names of operations by method and route.
    pub(crate) operations: BTreeMap<(Method, String), String>,
    pub(crate) openapi: Bytes,
    pub(crate) docs: Bytes,
}

/// As handlers get it.
pub(crate) type App = Arc<Shared>;

impl Shared {
    pub(crate) fn new(state: ApiState, door: Door, api: &utoipa::openapi::OpenApi) -> App {
        let document = openapi::to_json(api);
        Arc::new(Self {
            flights: Flights::default(),
            requests: Semaphore::new(state.limits.requests),
            logins: Semaphore::new(state.limits.logins),
            waits: Semaphore::new(state.limits.waits),
            event_streams: Places::new(state.limits.event_streams, state.limits.event_streams_per_user),
            readiness: Readiness::default(),
            operations: openapi::operations(api),
            docs: crate::docs::page(&document).into(),
            openapi: serde_json::to_vec(&document).unwrap_or_default().into(),
            door,
            state,
        })
    }
}

impl std::ops::Deref for Shared {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.state
    }
}

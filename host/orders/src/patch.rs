//! Changing labels and lease.

use archipel_model::order::Order;
use archipel_model::{Error, OrderId};

use crate::engine::Orders;
use crate::request::OrderPatch;

impl Orders {
    /// Changes labels and lease.
    ///
    /// # Errors
    /// `not-found`; `conflict` with code `precondition-failed` when `if_match` is not the version; `invalid`.
    pub async fn patch(&self, id: OrderId, if_match: Option<u64>, patch: OrderPatch) -> Result<Order, Error> {
        let _ = (id, if_match, patch);
        Err(Error::internal("not built yet"))
    }
}

//! Accepting orders: one durable commit each.

use archipel_model::order::Order;
use archipel_model::spec::CreateOrder;
use archipel_model::{Error, OrderId};

use crate::engine::Orders;
use crate::request::{Created, IdempotencyRequest, Requester};
use crate::store::StoredAnswer;

impl Orders {
    /// Accepts an order; it is durable when this returns. `render` makes the answer that is kept under the idempotency key.
    ///
    /// # Errors
    /// `invalid` (codes `unknown-cloud`, `unknown-site`, `deadline-passed`, `idempotency-key-reused`; the detail `field`
    /// names what is wrong), `unsupported`, `conflict` (codes `limit-exceeded`, `cloud-draining`), `transient`.
    pub async fn create(
        &self,
        who: &Requester,
        request: CreateOrder,
        idempotency: Option<IdempotencyRequest>,
        render: &(dyn Fn(&Order) -> StoredAnswer + Send + Sync),
    ) -> Result<Created, Error> {
        let _ = (who, request, idempotency, render);
        Err(Error::internal("not built yet"))
    }

    /// Accepts many; each item stands alone and may refer to earlier ones as `$N`. Item `n` gets `ids[n]`, so that a
    /// repetition after a crash completes the first try rather than doubling it.
    pub async fn bulk(
        &self,
        who: &Requester,
        items: Vec<Result<CreateOrder, Error>>,
        ids: &[OrderId],
    ) -> Vec<Result<Order, Error>> {
        let _ = (who, ids);
        items.into_iter().map(|_| Err(Error::internal("not built yet"))).collect()
    }
}

//! Deleting orders, with what rests on them where that is asked for.

use archipel_model::{Error, OrderId};

use crate::engine::Orders;
use crate::request::Deletion;

impl Orders {
    /// Begins (or ends at once) the deletion of an order.
    ///
    /// # Errors
    /// `not-found`; `conflict` with code `dependants` (detail `dependants: [ids]`), `precondition-failed`, or
    /// `precondition-required` (a network's cascade without `if_match`).
    pub async fn delete(
        &self,
        id: OrderId,
        if_match: Option<u64>,
        cascade: bool,
        dry_run: bool,
    ) -> Result<Deletion, Error> {
        let _ = (id, if_match, cascade, dry_run);
        Err(Error::internal("not built yet"))
    }
}

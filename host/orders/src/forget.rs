//! An administrator gives an order up: what the cloud may still hold of it is left there, and named in the event.

use archipel_model::order::{Order, State};
use archipel_model::{Error, OrderId};

use crate::draft::Draft;
use crate::engine::{Orders, TRIES};
use crate::step::Trouble;
use crate::table::Why;
use crate::validate;

/// Letters of a reason.
const REASON: usize = 1024;

impl Orders {
    /// Closes an order whose deletion does not end (its cloud is gone, its account is lost, its driver cannot search).
    ///
    /// # Errors
    /// `not-found`; `invalid` without a reason; `conflict` with the code `not-closing` (delete it first), `closed`, or
    /// `dependants` where something still rests on it; `transient` when the store cannot write.
    pub async fn forget(&self, id: OrderId, reason: &str) -> Result<Order, Error> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON {
            let what = format!("say why, in 1 to {REASON} letters: it is kept in the events");
            return Err(validate::wrong("reason", &what));
        }
        for _ in 0..TRIES {
            let order = self.existing(id).await?;
            match order.state {
                State::Closing => {}
                State::Closed => return Err(Error::conflict("the order is closed already").code("closed")),
                state => {
                    let words =
                        format!("the order is {state}; delete it first, and forget it if that does not end");
                    return Err(Error::conflict(words).code("not-closing"));
                }
            }
            let draft =
                Draft::of(&order, self.clock.now()).forgotten(reason).go(State::Closed, Why::Forgotten)?;
            match self.write(draft, None, true).await {
                Err(Trouble::Stale) => {}
                Ok(order) => {
                    tracing::warn!(order = %order.id, tag = order.tag(), account = ?order.local_account, reason,
                        "an order was forgotten; its cloud may still hold an instance");
                    return Ok(order);
                }
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
        Err(Trouble::Stale.into_error())
    }
}

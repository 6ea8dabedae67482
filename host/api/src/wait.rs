//! `Prefer: wait`: until an order settles (or changes), the time is up, or the session that waits is revoked.

use std::time::Duration;

use archipel_model::order::Order;
use archipel_orders::WaitFor;

use crate::authenticate::Who;
use crate::problem::Answer;
use crate::state::App;

/// Waits with `order` until it is as wanted. Where too many wait already, the order is returned as it stands, and with
/// `false`.
pub(crate) async fn until(
    app: &App,
    who: &Who,
    order: Order,
    until: WaitFor,
    most: Duration,
) -> Answer<(Order, bool)> {
    let Ok(_place) = app.waits.try_acquire() else { return Ok((order, false)) };
    let mut revocations = app.identity.revocations();
    let waiting = app.orders.wait(order.id, until, most);
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            order = &mut waiting => return Ok((order?, true)),
            changed = revocations.changed() => {
                if changed.is_err() {
                    return Ok((waiting.await?, true));
                }
                who.still_holds(app).await?;
            }
        }
    }
}

//! Power actions: six functions of one shape.

use std::sync::Arc;

use archipel_model::plugin::{OrderRef, PowerDriver};
use archipel_model::power::PowerAction;
use archipel_model::{Error, LocalToken};
use async_trait::async_trait;

use super::absent;
use crate::call::Binding;
use crate::convert;

/// The power of a cloud's machines.
pub(crate) struct Power {
    pub(crate) binding: Arc<Binding>,
    /// As its manifest says.
    pub(crate) actions: Vec<PowerAction>,
}

/// For logs and figures.
const fn function(action: PowerAction) -> &'static str {
    match action {
        PowerAction::Pause => "compute-power.pause",
        PowerAction::Resume => "compute-power.resume",
        PowerAction::Stop => "compute-power.stop",
        PowerAction::Start => "compute-power.start",
        PowerAction::Reboot => "compute-power.reboot",
        PowerAction::Hibernate => "compute-power.hibernate",
    }
}

#[async_trait]
impl PowerDriver for Power {
    fn actions(&self) -> &[PowerAction] {
        &self.actions
    }

    async fn act(
        &self,
        action: PowerAction,
        id: &str,
        driver_state: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<(), Error> {
        let (id, note, of, order) =
            (id.to_owned(), driver_state.to_owned(), Some(order.id), convert::order_to_wit(order));
        let token = token.clone();
        self.binding
            .driver(function(action), of, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.compute_power else {
                        return Ok(absent("compute-power"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let lent = match call.store.data_mut().lend_token(token) {
                        Ok(handle) => handle,
                        Err(error) => return Ok(Err(error)),
                    };
                    let store = &mut *call.store;
                    let answer = match action {
                        PowerAction::Pause => guest.call_pause(store, &id, &note, &order, lent).await,
                        PowerAction::Resume => guest.call_resume(store, &id, &note, &order, lent).await,
                        PowerAction::Stop => guest.call_stop(store, &id, &note, &order, lent).await,
                        PowerAction::Start => guest.call_start(store, &id, &note, &order, lent).await,
                        PowerAction::Reboot => guest.call_reboot(store, &id, &note, &order, lent).await,
                        PowerAction::Hibernate => guest.call_hibernate(store, &id, &note, &order, lent).await,
                    };
                    Ok(answer?.map_err(convert::error))
                })
            })
            .await
    }
}

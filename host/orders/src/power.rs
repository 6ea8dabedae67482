//! Power actions that users ask for. What is asked is durable before the cloud hears of it; `switch` does the rest.

use archipel_model::order::{Kind, Order};
use archipel_model::power::PowerAction;
use archipel_model::{Error, OrderId};

use crate::draft::Draft;
use crate::engine::{Orders, TRIES};
use crate::patch::check_version;
use crate::reach::cloud_of;
use crate::step::Trouble;

impl Orders {
    /// Begins a power action: the order goes through pausing, stopping, hibernating or resuming to where it leads, or back
    /// with a fault. A reboot leaves it fulfilled and shows as [`Order::power`] alone. Asking for what is under way is
    /// answered with the order as it stands, so that a request whose answer was lost can be repeated.
    ///
    /// # Errors
    /// `not-found`; `unsupported` where the cloud has no such action; `conflict` with code `wrong-state` (details `state`
    /// and `allowed_in`) or `precondition-failed`; `transient` when the cloud is not configured or the store cannot write.
    pub async fn act(&self, id: OrderId, if_match: Option<u64>, action: PowerAction) -> Result<Order, Error> {
        for _ in 0..TRIES {
            let order = self.existing(id).await?;
            check_version(&order, if_match)?;
            if order.power.as_ref().is_some_and(|power| power.action == action) {
                return Ok(order);
            }
            self.may_act(&order, action)?;
            let draft = Draft::of(&order, self.clock.now()).ask(action)?;
            match self.write(draft, None, false).await {
                Err(Trouble::Stale) => {}
                written => return written.map_err(Trouble::into_error),
            }
        }
        Err(Trouble::Stale.into_error())
    }

    fn may_act(&self, order: &Order, action: PowerAction) -> Result<(), Error> {
        if order.kind != Kind::Compute {
            let kind = order.kind.collection();
            return Err(Error::unsupported(format!("{kind} have no power actions; computes have")));
        }
        cloud_of(&self.site.current(), order)?.power(action)?;
        let words = match &order.power {
            _ if !action.allowed_in().contains(&order.state) => {
                let states: Vec<&str> = action.allowed_in().iter().map(|state| state.as_str()).collect();
                format!(
                    "the order is {}; {action} is for orders that are {}",
                    order.state,
                    states.join(" or ")
                )
            }
            Some(power) => format!("a {} is under way; ask again when it has ended", power.action),
            None => return Ok(()),
        };
        let allowed_in: Vec<&str> = action.allowed_in().iter().map(|state| state.as_str()).collect();
        Err(Error::conflict(words)
            .code("wrong-state")
            .detail("state", order.state.as_str())
            .detail("allowed_in", allowed_in))
    }
}

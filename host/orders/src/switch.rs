//! A power action under way: from the commit that says what was asked to the look that shows it done.
//!
//! Each step looks first. What the look shows decides: where the action leads, and it is done; elsewhere, and the order
//! follows; still where it was, and the cloud is asked, unless it accepted before. So a crash at any point is harmless: the next
//! step looks, and asks for what is not so yet. Asking twice is no harm but for a reboot, which is asked for at least once: a
//! kill between the cloud's acceptance and its commit may reboot a machine twice.
//!
//! A refusal, or no end after `power_timeout_ms` (for certain: see `steady`), leads back to the state before, with a fault. The
//! next look corrects that if the cloud did it after all.

use archipel_model::order::{Order, Status};
use archipel_model::plugin::Operation;
use archipel_model::power::{Power, PowerAction};
use archipel_model::{Applied, Error, ErrorKind};

use crate::draft::Draft;
use crate::observe::steady;
use crate::reach::Failure;
use crate::settings::Settings;
use crate::step::{Next, Step, Trouble};
use crate::table::Why;

impl Step<'_> {
    /// Pausing, stopping, hibernating and resuming, and fulfilled during a reboot.
    pub(crate) async fn switch(&mut self, order: &Order) -> Result<Next, Trouble> {
        let failures = self.memory.failures;
        let looked = self.look(order).await?;
        let Some(order) = self.orders.store.get(order.id).await.map_err(Trouble::Store)? else {
            return Ok(Next::FORGET);
        };
        let Some(power) = order.power.clone() else {
            self.memory.power_unknown = false;
            return Ok(looked.unwrap_or(Next::NOW));
        };
        let left = self.left_of(Settings::ms(self.settings().power_timeout_ms), power.since);
        let over = left.is_zero();
        let next = match looked {
            Err(failure) if over => {
                let draft = self.draft(&order).unreachable(failure.scope(), failure.reason());
                return self.give_back(draft, &power, &self.too_long(&power)).await;
            }
            Err(failure) => self.away(&order, &failure).await?,
            // It is not there, or not always: the look says when to look again.
            Ok(next) if order.missing_since.is_some() => next,
            Ok(next) => {
                let status = order.instance.as_ref().map_or(Status::Unknown, |instance| instance.status);
                let is_where_it_was = steady(status) == Some(power.from);
                if power.accepted_at.is_some() && power.action == PowerAction::Reboot && is_where_it_was {
                    return self.rebooted(&order, &power).await;
                }
                if over {
                    return self.give_back(self.draft(&order), &power, &self.too_long(&power)).await;
                }
                if power.accepted_at.is_some() || !is_where_it_was {
                    if power.accepted_at.is_none() && self.memory.power_unknown {
                        self.accepted(&order, &power).await?;
                    }
                    next
                } else {
                    // A look that succeeds does not shorten the back-off of requests that are refused.
                    self.memory.failures = failures;
                    self.ask_for(&order, &power).await?
                }
            }
        };
        Ok(if over {
            next
        } else {
            Next { after: Some(next.after.map_or(left, |after| after.min(left))), ..next }
        })
    }

    async fn ask_for(&mut self, order: &Order, power: &Power) -> Result<Next, Trouble> {
        let Some(instance) = &order.instance else {
            return Err(Trouble::Defect(Error::internal(
                "a power action of an order without an instance; report this defect",
            )));
        };
        let reach = match self.reach(order, Operation::Act).await {
            Ok(reach) => reach,
            Err(failure) => return self.away(order, &failure).await,
        };
        match reach.act(power.action, &instance.id, &instance.driver_state).await {
            Ok(()) => {
                (self.memory.failures, self.memory.quiet) = (0, 0);
                self.accepted(order, power).await?;
                Ok(self.look_again(None))
            }
            Err(Failure::Cloud(error)) => match error.kind {
                // Not found: the next look says whether it is gone.
                ErrorKind::Transient
                | ErrorKind::Internal
                | ErrorKind::Unauthenticated
                | ErrorKind::NotFound => {
                    self.memory.power_unknown |= error.applied != Applied::No;
                    self.memory.quiet = 0;
                    Ok(Next::after(self.back_off(&error)).or_on_config())
                }
                _ => self.give_back(self.draft(order), power, &error).await,
            },
            Err(failure) => self.away(order, &failure).await,
        }
    }

    /// The cloud took it. Must not be lost: a reboot would be asked for again.
    async fn accepted(&mut self, order: &Order, power: &Power) -> Result<(), Trouble> {
        let now = self.now();
        self.memory.power_unknown = false;
        self.insist(order, |draft| {
            Ok(draft.edit(|order| {
                // Of another request meanwhile nothing is known.
                if let Some(power) = order.power.as_mut().filter(|now| *now == power) {
                    power.accepted_at = Some(now);
                }
            }))
        })
        .await?;
        Ok(())
    }

    async fn rebooted(&mut self, order: &Order, power: &Power) -> Result<Next, Trouble> {
        self.memory.power_unknown = false;
        tracing::debug!(order = %order.id, since = %power.since, "rebooted");
        self.write(self.draft(order).edit(|order| order.power = None)).await?;
        Ok(self.look_steadily())
    }

    /// Back to the state before, with a fault.
    async fn give_back(&mut self, mut draft: Draft, power: &Power, error: &Error) -> Result<Next, Trouble> {
        self.memory.power_unknown = false;
        (self.memory.failures, self.memory.quiet) = (0, 0);
        if draft.order().state != power.from {
            draft = draft.go(power.from, Why::Undone).map_err(Trouble::Defect)?;
        }
        self.write(draft.edit(|order| order.power = None).fault(error, None)).await?;
        Ok(Next::NOW)
    }

    fn too_long(&self, power: &Power) -> Error {
        let (action, seconds) = (power.action, self.settings().power_timeout_ms / 1000);
        Error::transient(format!(
            "the cloud did not {action} it within {seconds} s; look at it with the cloud's own tools, or ask again"
        ))
        .code("power-timed-out")
    }
}

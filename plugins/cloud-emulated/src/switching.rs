//! Acting on a machine's power. One write: the new power into the machine's own key; the clock does the rest.

use crate::cloud::Cloud;
use crate::config::ByKind;
use crate::instances::{Found, read};
use crate::naming::{Kind, is_ours};
use crate::power::Action;
use crate::record::{Body, Phase, Slot};
use crate::world::{TRIES, World, encode, step_aside, too_crowded};
use archipel_sdk::{Error, Result};

impl<W: World> Cloud<'_, W> {
    /// Asks `action` of the machine.
    pub(crate) fn switch(&self, id: &str, action: Action) -> Result<()> {
        let unknown = || Error::not_found(format!("no compute `{id}`"));
        if !is_ours(Kind::Compute, id) {
            return Err(unknown());
        }
        let key = self.account.instance(id);
        for attempt in 0..TRIES {
            let Some(Found { bytes, slot: Slot::Instance(mut record) }) = read(self.world, &key)? else {
                return Err(unknown());
            };
            let now = self.world.now_ms();
            match record.phase(now) {
                Phase::Hidden | Phase::Gone => return Err(unknown()),
                Phase::Creating { .. } => {
                    return Err(Error::transient(format!(
                        "compute `{id}` is still being created; try again"
                    )));
                }
                Phase::Deleting { .. } => {
                    return Err(Error::conflict(format!("compute `{id}` is being deleted")));
                }
                Phase::Failed => return Err(Error::conflict(format!("compute `{id}` has failed"))),
                Phase::Ready | Phase::Switching { .. } | Phase::Off(_) => {}
            }
            let Body::Compute { power, .. } = &mut record.body else { return Err(unknown()) };
            let takes = ByKind::Same(self.config.power_ms).jittered(Kind::Compute, id);
            let Some(after) = power.after(action, now, takes)? else { return Ok(()) };
            *power = after;
            if self.world.swap(&key, Some(&bytes), Some(&encode(&Slot::Instance(record))?))? {
                return Ok(());
            }
            step_aside(self.world, attempt);
        }
        Err(too_crowded("the machine"))
    }
}

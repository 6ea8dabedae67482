//! Changing labels and lease.

use archipel_model::order::{Order, State};
use archipel_model::{Error, OrderId};

use crate::create::lease_of;
use crate::draft::Draft;
use crate::engine::{Orders, TRIES};
use crate::request::OrderPatch;
use crate::step::Trouble;
use crate::validate;

impl Orders {
    /// Changes labels and lease.
    ///
    /// # Errors
    /// `not-found`; `conflict` with code `precondition-failed` when `if_match` is not the version, or `closed`; `invalid`.
    pub async fn patch(&self, id: OrderId, if_match: Option<u64>, patch: OrderPatch) -> Result<Order, Error> {
        for _ in 0..TRIES {
            let order = self.existing(id).await?;
            check_version(&order, if_match)?;
            if order.state == State::Closed {
                return Err(Error::conflict("the order is closed; nothing of it can change").code("closed"));
            }
            let now = self.clock.now();
            let mut labels = order.labels.clone();
            for (key, value) in &patch.labels {
                match value {
                    Some(value) => labels.insert(key.clone(), value.clone()),
                    None => labels.remove(key),
                };
            }
            validate::labels(&labels, self.config.settings.labels_most)?;
            let lease = match patch.lease {
                None => order.lease,
                Some(asked) => lease_of(asked, patch.max_lease_s, now, &self.config.settings)?,
            };
            let draft = Draft::of(&order, now).edit(|order| {
                order.labels = labels;
                if order.lease != lease {
                    order.lease = lease;
                    order.lease_warned_at = lease.map(|_| now);
                }
            });
            match self.write(draft, None, false).await {
                Err(Trouble::Stale) => {}
                written => return written.map_err(Trouble::into_error),
            }
        }
        Err(Trouble::Stale.into_error())
    }
}

/// `If-Match`.
pub(crate) fn check_version(order: &Order, if_match: Option<u64>) -> Result<(), Error> {
    match if_match {
        Some(version) if version != order.version => Err(Error::conflict(format!(
            "the order is at version {}, not {version}; read it again",
            order.version
        ))
        .code("precondition-failed")
        .detail("version", order.version)),
        _ => Ok(()),
    }
}

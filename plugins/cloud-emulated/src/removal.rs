//! Deleting an instance, and tidying up after one that is gone.
//!
//! A delete is one write too: `gone_at` into the instance's own key. What forbids it is shut first, so that nothing
//! slips in between the look and the write: a volume is claimed by its own deletion, a network closes its door to
//! new computes. A kill in between leaves it shut, which reads as "being deleted" until the delete is repeated.

use crate::claims::{Held, claim, holder};
use crate::cloud::Cloud;
use crate::instances::{Found, phase, read};
use crate::ledger::{Amounts, Ledger};
use crate::naming::{Kind, addresses, is_ours, volume_hold};
use crate::record::{Body, Phase, Record, Slot};
use crate::world::{TRIES, World, encode, step_aside, too_crowded};
use archipel_sdk::{Error, Result};

impl<W: World> Cloud<'_, W> {
    /// Has the instance deleted; one that is not there, or does not show yet, is no error.
    pub(crate) fn remove(&self, kind: Kind, id: &str) -> Result<()> {
        if !is_ours(kind, id) {
            return Ok(());
        }
        let key = self.account.instance(id);
        for attempt in 0..TRIES {
            let Some(Found { bytes, slot: Slot::Instance(mut record) }) = read(self.world, &key)? else {
                return Ok(());
            };
            match phase(self.world, &key, &record)? {
                Phase::Hidden => return Ok(()),
                Phase::Gone => return self.tidy(&key, &bytes, &record),
                Phase::Deleting { .. } => return self.settle(&record),
                Phase::Creating { .. }
                | Phase::Ready
                | Phase::Failed
                | Phase::Switching { .. }
                | Phase::Off(_) => {}
            }
            if self.shut(&key, &bytes, &mut record)? {
                if record.charge != Amounts::default() {
                    Ledger::of(self.world, &self.account).intend(id)?;
                }
                let after = self.config.delete_ms.jittered(kind, id);
                record.gone_at = Some(self.world.now_ms().saturating_add(after));
                // The commit point.
                if self.world.swap(&key, Some(&bytes), Some(&encode(&Slot::Instance(record.clone()))?))? {
                    self.settle(&record).ok();
                    return Ok(());
                }
            }
            step_aside(self.world, attempt);
        }
        Err(too_crowded("the instance"))
    }

    /// Makes sure that nothing can come to depend on the instance any more. False: it has been changed, read it again.
    fn shut(&self, key: &str, bytes: &[u8], record: &mut Record) -> Result<bool> {
        match &mut record.body {
            Body::Compute { .. } | Body::Attachment { .. } => Ok(true),
            Body::Volume {} => match claim(self.world, &volume_hold(&record.id), key)? {
                Held::Free => Ok(true),
                Held::ByPending => Err(Error::transient(format!("volume `{}` is being attached", record.id))),
                Held::By(other) => {
                    let holder = other.rsplit('/').next().unwrap_or_default();
                    Err(Error::conflict(format!(
                        "volume `{}` is attached by `{holder}`; detach it first",
                        record.id
                    )))
                }
            },
            Body::Network { closing, .. } => {
                let was_closing = std::mem::replace(closing, true);
                if !was_closing {
                    self.world.swap(key, Some(bytes), Some(&encode(&Slot::Instance(record.clone()))?))?;
                    return Ok(false);
                }
                let refused = match self.inhabitant(&record.id)? {
                    Held::Free => return Ok(true),
                    Held::ByPending => Error::transient(format!("network `{}` is being joined", record.id)),
                    Held::By(_) => Error::conflict(format!(
                        "network `{}` has computes in it; delete them first",
                        record.id
                    )),
                };
                *closing = false;
                let open = encode(&Slot::Instance(record.clone()))?;
                self.world.swap(key, Some(bytes), Some(&open))?;
                Err(refused)
            }
        }
    }

    /// Who holds an address of the network. Claims that nobody holds any more are removed on the way.
    fn inhabitant(&self, network: &str) -> Result<Held> {
        let mut cursor = None;
        loop {
            let page = self.world.keys(&addresses(network), cursor.as_deref(), 500)?;
            for key in &page.keys {
                match holder(self.world, key)? {
                    Held::Free => {}
                    held => return Ok(held),
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(Held::Free),
            }
        }
    }

    /// Removes what is left of an instance that is gone. The ledger comes first: it learns from the record.
    pub(crate) fn tidy(&self, key: &str, bytes: &[u8], record: &Record) -> Result<()> {
        self.settle(record)?;
        self.let_go(key, record)?;
        self.world.swap(key, Some(bytes), None).map(|_| ())
    }

    fn settle(&self, record: &Record) -> Result<()> {
        if record.charge != Amounts::default() {
            Ledger::of(self.world, &self.account).settle(&record.id)?;
        }
        Ok(())
    }
}

//! Making an instance.
//!
//! The order of steps is what makes a kill harmless: count (`ledger.rs`), claim addresses or the volume
//! (`claims.rs`), look once more whether what it joins is still open, then *one* write of the instance's own key.
//! Before that write there is no instance, and what was counted and claimed falls back by itself; after it there is
//! one, and only the ledger's note is left to strike out.
//!
//! A second attempt makes a second instance: this cloud forgives no host that forgets to search first.

use crate::claims::{Held, claim, release};
use crate::cloud::Cloud;
use crate::ledger::{Amounts, Ledger};
use crate::naming::{self, Kind, fresh_id, mix};
use crate::plan::Subnet;
use crate::record::{Address, Body, Record, Slot};
use crate::world::{World, encode};
use archipel_sdk::cloud::{CreateContext, Created};
use archipel_sdk::{Applied, Error, Result};

impl<W: World> Cloud<'_, W> {
    /// Makes what the order asks for; with `boot_fault` it will fail instead of becoming ready.
    pub(crate) fn create(
        &self,
        kind: Kind,
        context: &CreateContext,
        boot_fault: Option<String>,
    ) -> Result<Created> {
        let order = &context.order;
        let plan = self.plan(kind, order)?;
        let now = self.world.now_ms();
        let id = fresh_id(kind, &order.tag, now, self.world.random());
        let mut record = Record {
            tag: order.tag.clone(),
            name: plan.name,
            attempt: context.attempt,
            created_at: now,
            visible_at: now.saturating_add(self.config.visibility_ms),
            ready_at: now.saturating_add(self.config.boot_ms.jittered(kind, &id)),
            boot_fault,
            gone_at: None,
            charge: plan.charge,
            body: plan.body,
            id,
        };
        let key = self.account.instance(&record.id);
        let ledger = Ledger::of(self.world, &self.account);
        let is_counted = record.charge != Amounts::default();
        if is_counted {
            ledger.reserve(&record.id, record.charge, &self.config.capacity).map_err(did_nothing)?;
        }
        let furnished = self.furnish(&key, &mut record, &plan.networks);
        let refused = match furnished.and_then(|()| encode(&Slot::Instance(record.clone()))) {
            Err(error) => did_nothing(error),
            // The commit point. Its own failure is the one that leaves the outcome open.
            Ok(bytes) => match self.world.swap(&key, None, Some(&bytes)) {
                Err(error) => return Err(error.applied(Applied::Unknown)),
                Ok(false) => Error::transient("the create took too long and was given up; try again"),
                Ok(true) => {
                    if is_counted {
                        // Not struck out, it is settled later.
                        ledger.confirm(&record.id).ok();
                    }
                    return Ok(Created { driver_state: record.driver_state(), id: record.id });
                }
            },
        };
        if is_counted {
            ledger.withdraw(&record.id).ok();
        }
        self.let_go(&key, &record).ok();
        Err(refused)
    }

    /// Claims what the instance needs for itself, and makes sure that what it joins stays.
    fn furnish(&self, key: &str, record: &mut Record, networks: &[Subnet]) -> Result<()> {
        match &mut record.body {
            Body::Volume {} | Body::Network { .. } => Ok(()),
            Body::Attachment { volume, .. } => match claim(self.world, &naming::volume_hold(volume), key)? {
                Held::Free => self.ready(Kind::Volume, volume),
                Held::ByPending => Err(Error::transient(format!("volume `{volume}` is being attached"))),
                Held::By(other) => Err(Error::conflict(match other.rsplit('/').next() {
                    Some(holder) if holder != volume => {
                        format!("volume `{volume}` is attached by `{holder}`")
                    }
                    _ => format!("volume `{volume}` is being deleted"),
                })),
            },
            Body::Compute { addresses, .. } => {
                for network in networks {
                    addresses.push(self.claim_address(key, &record.tag, network)?);
                }
                networks.iter().filter(|network| network.is_ours).try_for_each(|network| {
                    self.own_subnet(&network.id)?;
                    Ok(())
                })
            }
        }
    }

    /// An address that nobody else has: the first free one from a place that the tag decides.
    fn claim_address(&self, key: &str, tag: &str, network: &Subnet) -> Result<Address> {
        let room = network.cidr.room();
        let start = u32::try_from(mix(&format!("{tag}/{}", network.id)) % u64::from(room)).unwrap_or(0);
        for index in (start..room).chain(0..start) {
            if claim(self.world, &naming::address(&network.id, index), key)? == Held::Free {
                let ip = network.cidr.address(index, network.gateway).to_string();
                return Ok(Address { network: network.id.clone(), index, ip });
            }
        }
        Err(Error::quota_exceeded(format!("all {room} addresses of network `{}` are taken", network.id)))
    }

    /// Gives back what the instance has claimed.
    pub(crate) fn let_go(&self, key: &str, record: &Record) -> Result<()> {
        match &record.body {
            Body::Network { .. } => Ok(()),
            Body::Volume {} => release(self.world, &naming::volume_hold(&record.id), key),
            Body::Attachment { volume, .. } => release(self.world, &naming::volume_hold(volume), key),
            Body::Compute { addresses, .. } => addresses.iter().try_for_each(|address| {
                release(self.world, &naming::address(&address.network, address.index), key)
            }),
        }
    }
}

/// Whatever went wrong before the commit point, there is no instance.
fn did_nothing(error: Error) -> Error {
    error.applied(Applied::No)
}

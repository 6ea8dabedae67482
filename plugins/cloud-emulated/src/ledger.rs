//! What an account uses: one record per account, changed by compare-and-swap, exact after a kill at any point.
//!
//! The instance's own key is the commit point of a create and of a delete; the sum in the ledger is another key, so
//! a kill can fall between the two. The ledger therefore also names every instance *in doubt*:
//!
//! * create: **reserve** (count it, name it in `joining`) → commit the instance → **confirm** (strike it out)
//! * delete: **intend** (name it in `leaving`, still counted) → commit the deletion → **settle** (uncount, strike out)
//!
//! What a kill leaves is settled later by whoever needs the room, from the instance's key alone:
//!
//! * `joining` and the key is empty: first *fence* it (write `Void` there, so that a slow creator cannot commit any
//!   more), then uncount. If there is an instance, strike it out.
//! * `leaving` and the instance is deleted: uncount. If it is alive the entry stays, and is right when somebody
//!   deletes it after all.
//!
//! Why each effect happens exactly once: every change reads the ledger, *then* the instance, then swaps the ledger;
//! the swap succeeds only if the ledger did not change meanwhile (`version` rules out that it changed and changed
//! back), so ledger and instance were seen at one moment. An entry is added only while the instance is as the entry
//! says (not there yet; alive) and struck out only with its effect. Purging a deleted instance settles it first.

use crate::config::Capacity;
use crate::instances::{fence, read, record};
use crate::naming::Account;
use crate::record::{Record, Slot};
use crate::world::{TRIES, World, decode, encode, step_aside, too_crowded};
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an instance may be in doubt before somebody else settles it. Between reserve and commit there are a few
/// storage calls and no waiting; a creator that is slower than this loses its create, never its correctness.
const STALE_MS: u64 = 1500;

/// More than this many in doubt and the next reservation settles the stale ones: bounds the ledger's size (about
/// 150 bytes each, of 256 KiB).
const IN_DOUBT: usize = 200;

/// Counted resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Amounts {
    pub(crate) instances: u64,
    pub(crate) vcpu: u64,
    pub(crate) ram_mib: u64,
    pub(crate) disk_gib: u64,
    pub(crate) volumes: u64,
    pub(crate) networks: u64,
}

impl Amounts {
    fn each(self, other: Amounts, with: impl Fn(u64, u64) -> u64) -> Amounts {
        Amounts {
            instances: with(self.instances, other.instances),
            vcpu: with(self.vcpu, other.vcpu),
            ram_mib: with(self.ram_mib, other.ram_mib),
            disk_gib: with(self.disk_gib, other.disk_gib),
            volumes: with(self.volumes, other.volumes),
            networks: with(self.networks, other.networks),
        }
    }

    pub(crate) fn plus(self, other: Amounts) -> Amounts {
        self.each(other, u64::saturating_add)
    }

    pub(crate) fn minus(self, other: Amounts) -> Amounts {
        self.each(other, u64::saturating_sub)
    }

    /// The first resource of which `self` with `more` would be over `capacity`, with words.
    fn lacking(self, more: Amounts, capacity: &Capacity) -> Option<String> {
        let row = |name, used: u64, more: u64, total: u64| {
            (more > 0 && used.saturating_add(more) > total)
                .then(|| format!("{name}: {used} of {total} are used and {more} more are needed"))
        };
        row("instances", self.instances, more.instances, capacity.instances)
            .or_else(|| row("vcpu", self.vcpu, more.vcpu, capacity.vcpu))
            .or_else(|| row("ram_mib", self.ram_mib, more.ram_mib, capacity.ram_mib))
            .or_else(|| row("disk_gib", self.disk_gib, more.disk_gib, capacity.disk_gib))
            .or_else(|| row("volumes", self.volumes, more.volumes, capacity.volumes))
            .or_else(|| row("networks", self.networks, more.networks, capacity.networks))
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sheet {
    version: u64,
    used: Amounts,
    #[serde(default)]
    joining: BTreeMap<String, Doubt>,
    #[serde(default)]
    leaving: BTreeMap<String, Doubt>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Doubt {
    since: u64,
    amounts: Amounts,
}

/// How an attempt to reserve went.
enum Reserved {
    Yes,
    /// Not even without what is in doubt.
    Full(String),
    /// It would fit if what is joining does not come.
    Unsure,
    /// Too much in doubt: settle first.
    Crowded,
}

/// One account's ledger.
pub(crate) struct Ledger<'a, W> {
    world: &'a W,
    account: &'a Account,
}

impl<'a, W: World> Ledger<'a, W> {
    /// The ledger of `account`.
    pub(crate) fn of(world: &'a W, account: &'a Account) -> Self {
        Ledger { world, account }
    }

    /// Counts an instance that is about to be made, if it fits. `id` is fresh.
    pub(crate) fn reserve(&self, id: &str, amounts: Amounts, capacity: &Capacity) -> Result<()> {
        let mut settled = false;
        for _ in 0..TRIES {
            let outcome = self.change(|sheet| {
                if sheet.joining.len() + sheet.leaving.len() > IN_DOUBT && !settled {
                    return Ok((false, Reserved::Crowded));
                }
                if let Some(words) = sheet.used.lacking(amounts, capacity) {
                    let unsure =
                        sheet.joining.values().fold(Amounts::default(), |sum, doubt| sum.plus(doubt.amounts));
                    let decided = sheet.used.minus(unsure).lacking(amounts, capacity).is_some();
                    return Ok((false, if decided { Reserved::Full(words) } else { Reserved::Unsure }));
                }
                sheet.used = sheet.used.plus(amounts);
                let since = self.world.now_ms();
                sheet.joining.insert(id.to_owned(), Doubt { since, amounts });
                Ok((true, Reserved::Yes))
            })?;
            let changed = match outcome {
                Reserved::Yes => return Ok(()),
                _ => self.settle_stale()?,
            };
            settled = true;
            match outcome {
                Reserved::Full(words) if !changed => return Err(Error::quota_exceeded(words)),
                Reserved::Unsure if !changed => {
                    let wait = Duration::from_millis(STALE_MS);
                    return Err(Error::transient("the last of the quota is being decided; try again")
                        .retry_after(wait));
                }
                _ => {}
            }
        }
        Err(too_crowded("the account's use"))
    }

    /// Uncounts a reservation whose creator has given up before its commit.
    pub(crate) fn withdraw(&self, id: &str) -> Result<()> {
        self.change(|sheet| {
            let doubt = sheet.joining.remove(id);
            sheet.used = sheet.used.minus(doubt.as_ref().map(|doubt| doubt.amounts).unwrap_or_default());
            Ok((doubt.is_some(), ()))
        })
    }

    /// Strikes out a create that has committed.
    pub(crate) fn confirm(&self, id: &str) -> Result<()> {
        self.change(|sheet| Ok((sheet.joining.remove(id).is_some(), ())))
    }

    /// Names an instance that is about to be deleted. Its create has committed, so it is not in doubt on that side.
    pub(crate) fn intend(&self, id: &str) -> Result<()> {
        let key = self.account.instance(id);
        self.change(|sheet| {
            if sheet.leaving.contains_key(id) {
                return Ok((false, ()));
            }
            let Some(record) = record(self.world, &key)?.filter(is_alive) else { return Ok((false, ())) };
            sheet.joining.remove(id);
            let since = self.world.now_ms();
            sheet.leaving.insert(id.to_owned(), Doubt { since, amounts: record.charge });
            Ok((true, ()))
        })
    }

    /// Ends the doubt about one instance if its key tells how; says whether anything changed.
    pub(crate) fn settle(&self, id: &str) -> Result<bool> {
        let key = self.account.instance(id);
        if self.sheet()?.joining.contains_key(id) {
            fence(self.world, &key)?;
        }
        self.change(|sheet| {
            let (struck, uncount) = match read(self.world, &key)?.map(|found| found.slot) {
                None => (sheet.leaving.remove(id), true),
                Some(Slot::Void { .. }) => (sheet.joining.remove(id), true),
                Some(Slot::Instance(record)) if is_alive(&record) => (sheet.joining.remove(id), false),
                Some(Slot::Instance(_)) => (sheet.leaving.remove(id), true),
            };
            let Some(doubt) = struck else { return Ok((false, false)) };
            if uncount {
                sheet.used = sheet.used.minus(doubt.amounts);
            }
            Ok((true, true))
        })
    }

    /// What the account uses, with everything old enough settled.
    pub(crate) fn used(&self) -> Result<Amounts> {
        self.settle_stale()?;
        Ok(self.sheet()?.used)
    }

    /// Settles whatever has been in doubt for too long; says whether anything changed.
    fn settle_stale(&self) -> Result<bool> {
        let sheet = self.sheet()?;
        let before = self.world.now_ms().saturating_sub(STALE_MS);
        let mut changed = false;
        for (id, _) in sheet.joining.iter().chain(&sheet.leaving).filter(|(_, doubt)| doubt.since <= before) {
            changed |= self.settle(id)?;
        }
        Ok(changed)
    }

    fn sheet(&self) -> Result<Sheet> {
        let key = self.account.ledger();
        self.world.get(&key)?.map_or_else(|| Ok(Sheet::default()), |bytes| decode(&key, &bytes))
    }

    /// Reads the ledger, lets `decide` look at the rest of the world and change it, and swaps it in; again from the
    /// start if it changed meanwhile. `decide` says whether there is anything to write.
    fn change<T>(&self, mut decide: impl FnMut(&mut Sheet) -> Result<(bool, T)>) -> Result<T> {
        let key = self.account.ledger();
        for attempt in 0..TRIES {
            let before = self.world.get(&key)?;
            let mut sheet: Sheet = match &before {
                Some(bytes) => decode(&key, bytes)?,
                None => Sheet::default(),
            };
            let (write, answer) = decide(&mut sheet)?;
            if !write {
                return Ok(answer);
            }
            sheet.version += 1;
            if self.world.swap(&key, before.as_deref(), Some(&encode(&sheet)?))? {
                return Ok(answer);
            }
            step_aside(self.world, attempt);
        }
        Err(too_crowded("the account's use"))
    }
}

fn is_alive(record: &Record) -> bool {
    record.gone_at.is_none()
}

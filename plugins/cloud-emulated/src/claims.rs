//! Who holds a thing that only one may hold: an address of a network, a volume.
//!
//! A claim names the key of its holder and is written before the holder commits, so it is never missing where it
//! matters. It needs no clean-up to be right: a claim whose holder is gone is free for the taking, and one whose
//! holder never appeared is fenced (`instances::fence`) before it is taken, so that a slow holder cannot appear after.

use crate::instances::{fence, phase, read};
use crate::record::{Phase, Slot};
use crate::world::{TRIES, World, decode, encode, too_crowded};
use archipel_sdk::Result;
use serde::{Deserialize, Serialize};

/// How long a claim protects a holder that has not committed yet. A create passes from claim to commit within a few
/// storage calls; shorter than the manifest's `settle_ms`, so that what a killed create left is free by the time its
/// order is over.
const GRACE_MS: u64 = 1500;

#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// The holder's key.
    holder: String,
    at: u64,
}

/// Who has a thing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nobody, or no longer.
    Free,
    /// The instance with this key.
    By(String),
    /// A create that has not committed yet.
    ByPending,
}

/// Takes `key` for the instance kept under `holder`, if it is free; says who had it. Taking it twice is taking it once.
pub(crate) fn claim(world: &impl World, key: &str, holder: &str) -> Result<Held> {
    let mine = encode(&Claim { holder: holder.to_owned(), at: world.now_ms() })?;
    for _ in 0..TRIES {
        let before = world.get(key)?;
        if let Some(bytes) = &before {
            let claim: Claim = decode(key, bytes)?;
            if claim.holder == holder {
                return Ok(Held::Free);
            }
            match held(world, claim)? {
                Held::Free => {}
                held => return Ok(held),
            }
        }
        if world.swap(key, before.as_deref(), Some(&mine))? {
            return Ok(Held::Free);
        }
    }
    Err(too_crowded("a claim"))
}

/// Who has `key`. A claim that nobody holds any more is removed.
pub(crate) fn holder(world: &impl World, key: &str) -> Result<Held> {
    for _ in 0..TRIES {
        let Some(bytes) = world.get(key)? else { return Ok(Held::Free) };
        match held(world, decode(key, &bytes)?)? {
            Held::Free => {}
            held => return Ok(held),
        }
        if world.swap(key, Some(&bytes), None)? {
            return Ok(Held::Free);
        }
    }
    Err(too_crowded("a claim"))
}

/// Gives `key` back if `holder` has it.
pub(crate) fn release(world: &impl World, key: &str, holder: &str) -> Result<()> {
    let Some(bytes) = world.get(key)? else { return Ok(()) };
    if decode::<Claim>(key, &bytes)?.holder == holder {
        world.swap(key, Some(&bytes), None)?;
    }
    Ok(())
}

fn held(world: &impl World, claim: Claim) -> Result<Held> {
    if read(world, &claim.holder)?.is_none() {
        if world.now_ms().saturating_sub(claim.at) < GRACE_MS {
            return Ok(Held::ByPending);
        }
        fence(world, &claim.holder)?;
    }
    Ok(match read(world, &claim.holder)?.map(|found| found.slot) {
        Some(Slot::Instance(record)) if phase(world, &claim.holder, &record)? != Phase::Gone => {
            Held::By(claim.holder)
        }
        _ => Held::Free,
    })
}

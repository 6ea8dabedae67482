//! Reading and fencing instance records, and what an instance is when those it hangs on are considered too.

use crate::naming::beside;
use crate::record::{Body, Phase, Record, Slot};
use crate::world::{World, decode, encode};
use archipel_sdk::Result;

/// A slot and the bytes that a compare-and-swap must find in its place.
pub(crate) struct Found {
    pub(crate) bytes: Vec<u8>,
    pub(crate) slot: Slot,
}

/// What stands under an instance's key; none = nothing.
pub(crate) fn read(world: &impl World, key: &str) -> Result<Option<Found>> {
    let Some(bytes) = world.get(key)? else { return Ok(None) };
    let slot = decode(key, &bytes)?;
    Ok(Some(Found { bytes, slot }))
}

/// The instance under `key`; fences and nothing are both none.
pub(crate) fn record(world: &impl World, key: &str) -> Result<Option<Record>> {
    Ok(match read(world, key)? {
        Some(Found { slot: Slot::Instance(record), .. }) => Some(record),
        _ => None,
    })
}

/// Makes sure that a create which has not committed under `key` never will; does nothing where it has.
pub(crate) fn fence(world: &impl World, key: &str) -> Result<()> {
    let void = encode(&Slot::Void { at: world.now_ms() })?;
    world.swap(key, None, Some(&void)).map(|_| ())
}

/// What the instance is now. An attachment shares the end of its compute: it is detached while the compute is being
/// deleted, and gone with it.
pub(crate) fn phase(world: &impl World, key: &str, record: &Record) -> Result<Phase> {
    let now = world.now_ms();
    let own = record.phase(now);
    let Body::Attachment { compute, .. } = &record.body else { return Ok(own) };
    if own == Phase::Gone {
        return Ok(own);
    }
    let compute =
        self::record(world, &beside(key, compute))?.map_or(Phase::Gone, |compute| compute.phase(now));
    Ok(match (own, compute) {
        (_, Phase::Gone) => Phase::Gone,
        (Phase::Deleting { left_ms }, Phase::Deleting { left_ms: other }) => {
            Phase::Deleting { left_ms: left_ms.min(other) }
        }
        (Phase::Hidden, _) => Phase::Hidden,
        (_, Phase::Deleting { left_ms }) => Phase::Deleting { left_ms },
        _ => own,
    })
}

//! Who works on which queue, and the fencing that makes a lost claim harmless.
//!
//! Two keys per queue. The epoch changes only when the queue changes hands, and every change made under a claim has
//! "the epoch is still mine" as a precondition; the claim itself says who and until when, and changes with every
//! renewal. Were they one key, each renewal would fence its own holder.

use archipel_model::{CloudName, Error, Timestamp};
use archipel_orders::store::{Claim, Epoch};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::{Commit, CommitError, Engine, Range};
use crate::judge::count;
use crate::keys;
use crate::record::{Record, TRIES, busy, decode, encode, refusal};

/// Queues of one site at most: its clouds.
const QUEUES: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    daemon: String,
    until: Timestamp,
}

impl Record for Holder {
    const NAME: &'static str = "claim";
}

/// An epoch as stored; a precondition of every change made under it.
pub(crate) fn epoch_bytes(epoch: Epoch) -> Bytes {
    Bytes::copy_from_slice(&epoch.0.to_be_bytes())
}

/// Takes or renews a queue.
pub(crate) async fn claim(
    engine: &dyn Engine,
    queue: &CloudName,
    daemon: &str,
    now: Timestamp,
    ttl_ms: u64,
) -> Result<Option<Claim>, Error> {
    let until = now.plus(std::time::Duration::from_millis(ttl_ms));
    for _ in 0..TRIES {
        let held = engine.get_many(&[keys::claim(queue), keys::epoch(queue)]).await?;
        let [claim, epoch] = <[Option<Bytes>; 2]>::try_from(held).map_err(|_| busy())?;
        let holder = claim.as_deref().map(decode::<Holder>).transpose()?;
        let mine = match &holder {
            Some(holder) if holder.daemon == daemon => true,
            Some(holder) if holder.until > now => return Ok(None),
            _ => false,
        };
        let number = Epoch(count(epoch.as_ref()).saturating_add(u64::from(!mine)));
        let mut commit = Commit::new();
        commit
            .is(keys::claim(queue), claim)
            .is(keys::epoch(queue), epoch)
            .put(keys::claim(queue), encode(&Holder { daemon: daemon.to_owned(), until })?);
        if !mine {
            commit.put(keys::epoch(queue), epoch_bytes(number));
        }
        match engine.commit(commit).await {
            Ok(_) => return Ok(Some(Claim { queue: queue.clone(), epoch: number, until })),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Err(busy())
}

/// Ends every claim of a store that no other process can have open: whoever held one is gone, and waiting for its time
/// to run out would make a restart slow. Epochs stay, so what was left behind by it remains fenced.
pub(crate) async fn release_all(engine: &dyn Engine) -> Result<(), Error> {
    for (key, _) in engine.range(&Range::prefix(keys::CLAIMS, QUEUES)).await? {
        let mut commit = Commit::new();
        commit.delete(key);
        engine.commit(commit).await.map_err(refusal)?;
    }
    Ok(())
}

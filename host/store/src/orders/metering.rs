//! Stores that are older than metering: what runs in them is metered from the moment at which they are first opened by a
//! program that does it.

use archipel_model::order::State;
use archipel_model::{Clock, Error};

use super::record::Stored;
use crate::engine::{Commit, CommitError, Engine, Range};
use crate::keys::{self, Scope};
use crate::record::{decode, encode, refusal};
use crate::{addresses, usage};

/// Orders that are read at a time.
const CHUNK: usize = 1000;

/// Begins to meter every order that is metered by its state and is not. One commit for each; done again after a crash, it
/// goes on where it was.
pub(crate) async fn begin(engine: &dyn Engine, clock: &dyn Clock) -> Result<(), Error> {
    let mut range = Range::prefix(&Scope::all().live(), CHUNK);
    loop {
        let entries = engine.range(&range).await?;
        for (index, _) in &entries {
            let Some(id) = keys::order_at_end(index) else { continue };
            let Some(raw) = engine.get(&keys::order(id)).await? else { continue };
            let stored: Stored = decode(&raw)?;
            if stored.metered.is_some() || stored.order.state == State::Closed {
                continue;
            }
            let mut commit = Commit::new();
            commit.is(keys::order(id), Some(raw));
            let now = clock.now();
            let metered = usage::meter(engine, &mut commit, None, &stored.order, now).await?;
            let noted = addresses::note(engine, &mut commit, &stored.addresses, &stored.order, now).await?;
            if metered.is_none() && noted == stored.addresses {
                continue;
            }
            commit.put(keys::order(id), encode(&Stored { metered, addresses: noted, ..stored })?);
            match engine.commit(commit).await {
                // Nobody else writes while a store is opened.
                Ok(_) | Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        match entries.last() {
            Some((last, _)) if entries.len() == CHUNK => range = range.after(last),
            _ => return Ok(()),
        }
    }
}

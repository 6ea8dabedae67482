//! Who had which address when: written in the commit in which it was learned, so that the question can be answered after
//! the order is closed and forgotten, for as long as the audit is kept.
//!
//! An address counts as an order's from the moment at which the cloud was asked for the instance (it may have been in use
//! before the first look), or from the look that first showed it, and until a look no longer shows it or nothing is left
//! of the instance. What is in between two looks is thus told in favour of finding someone.

use std::net::IpAddr;

use archipel_model::audit::AddressUse;
use archipel_model::order::Order;
use archipel_model::{Error, Timestamp};
use archipel_orders::usage::is_gone;
use bytes::Bytes;

use crate::engine::{Commit, CommitError, Engine, Key, Range};
use crate::keys;
use crate::orders::HeldAddress;
use crate::record::{Record, decode, encode, refusal};

/// Addresses of one order that are noted: each takes up to two of a commit's hundred operations, and as many when it goes.
const MOST: usize = 8;
/// Uses of one address that are looked through for one question. Bounds the work.
const LOOKED_AT: usize = 100_000;
/// Keys that are read at a time.
const CHUNK: usize = 500;

impl Record for AddressUse {
    const NAME: &'static str = "use of an address";
}

/// The key of a use.
pub(crate) fn key_of(used: &AddressUse) -> Key {
    keys::address_use(used.address, used.from, used.order)
}

/// The index of a use that has ended.
pub(crate) fn index_of(used: &AddressUse) -> Option<Key> {
    used.until.map(|until| keys::address_end(until, &key_of(used)))
}

/// Writes into the commit of a change which addresses the order has after it; says them. `held` are those before.
pub(crate) async fn note(
    engine: &dyn Engine,
    commit: &mut Commit,
    held: &[HeldAddress],
    order: &Order,
    now: Timestamp,
) -> Result<Vec<HeldAddress>, Error> {
    let shown = addresses(order);
    let mut kept: Vec<HeldAddress> = Vec::new();
    for one in held {
        if shown.contains(&one.address) {
            kept.push(one.clone());
            continue;
        }
        let key = keys::address_use(one.address, one.from, order.id);
        if let Some(raw) = engine.get(&key).await? {
            let used = AddressUse { until: Some(now.max(one.from)), ..decode::<AddressUse>(&raw)? };
            commit.put(key, encode(&used)?);
            if let Some(index) = index_of(&used) {
                commit.put(index, Bytes::new());
            }
        }
    }
    let is_first_look = held.is_empty();
    for address in shown {
        if kept.iter().any(|one| one.address == address) {
            continue;
        }
        let asked = order.requested_at.filter(|_| is_first_look);
        let from = asked.map_or(now, |asked| asked.min(now));
        let used = AddressUse {
            address,
            order: order.id,
            kind: order.kind,
            owner: order.owner(),
            user: order.user.name.clone(),
            home_site: order.user.home_site.clone().unwrap_or_else(|| order.site.clone()),
            group: order.group.clone(),
            cloud: order.cloud.clone(),
            site: order.site.clone(),
            origin: order.origin.clone(),
            instance: order.instance.as_ref().map(|instance| instance.id.clone()).unwrap_or_default(),
            from,
            seen: now,
            until: None,
        };
        commit.put(key_of(&used), encode(&used)?);
        kept.push(HeldAddress { address, from });
    }
    Ok(kept)
}

/// The addresses that an order has as far as it is known, each once.
fn addresses(order: &Order) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    let shown = order.instance.iter().filter(|_| !is_gone(order)).flat_map(|instance| &instance.addresses);
    for text in shown {
        match text.parse::<IpAddr>() {
            Ok(address) if all.contains(&address) => {}
            Ok(address) if all.len() < MOST => all.push(address),
            Ok(_) => {
                tracing::warn!(order = %order.id, most = MOST, "an order has more addresses than are noted for the audit");
                break;
            }
            Err(_) => {
                tracing::debug!(order = %order.id, text, "not an IP address: it is not noted for the audit")
            }
        }
    }
    all
}

/// Who had an address at an instant, the latest first.
pub(crate) async fn who_had(
    engine: &dyn Engine,
    address: IpAddr,
    at: Timestamp,
) -> Result<Vec<AddressUse>, Error> {
    let prefix = keys::address(address);
    let after = Timestamp::from_millis(at.as_millis().saturating_add(1));
    let mut range = Range::prefix(&prefix, CHUNK).before(keys::at_prefix(&prefix, after)).reversed();
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        let entries = engine.range(&range).await?;
        for (_, raw) in &entries {
            let used: AddressUse = decode(raw)?;
            if used.until.is_none_or(|until| until > at) {
                found.push(used);
            }
        }
        looked_at += entries.len();
        match entries.last() {
            Some((last, _)) if entries.len() == CHUNK && looked_at < LOOKED_AT => {
                range = range.before(last.clone());
            }
            _ => return Ok(found),
        }
    }
}

/// Forgets uses that ended before.
pub(crate) async fn forget_before(
    engine: &dyn Engine,
    before: Timestamp,
    limit: usize,
) -> Result<usize, Error> {
    let range = Range::prefix(keys::ADDRESS_ENDS, limit).before(keys::at_prefix(keys::ADDRESS_ENDS, before));
    let mut forgotten = 0;
    for some in engine.range(&range).await?.chunks(CHUNK / 20) {
        let mut commit = Commit::new();
        for (end, _) in some {
            commit.delete(end.clone()).delete(keys::address_use_of(end));
        }
        match engine.commit(commit).await {
            Ok(_) => forgotten += some.len(),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Ok(forgotten)
}

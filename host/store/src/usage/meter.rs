//! What a commit that changes an order writes for its metering: its lines' steps, its own, and its account.

use std::collections::BTreeMap;

use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use archipel_model::{Error, OrderId, Timestamp};
use archipel_orders::usage::{Account, Class, Line, requesting_site};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::staircase::{AMOUNTS, amounts, at_key, name_of, sums_of, terms_of};
use crate::engine::{Commit, Engine, Key};
use crate::keys;
use crate::orders::{Metered, amounts_of};
use crate::record::{Record, decode, encode};

impl Record for Line {
    const NAME: &'static str = "usage line";
}

impl Record for Account {
    const NAME: &'static str = "usage account";
}

/// What an order was metered as from an instant on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// `None`: as nothing.
    pub(super) class: Option<Class>,
    pub(super) amounts: Usage,
}

impl Record for Step {
    const NAME: &'static str = "usage step";
}

/// Writes into the commit of a change what an order is metered as after it; says that. `known` is what it was before.
///
/// The order's own times never go back: where the clock was turned back, the step is put at the time of the one before.
pub(crate) async fn meter(
    engine: &dyn Engine,
    commit: &mut Commit,
    known: Option<&Metered>,
    order: &Order,
    now: Timestamp,
) -> Result<Option<Metered>, Error> {
    let class = Class::of(order, known.map(|known| known.class));
    let new = class.map(|class| (class, amounts_of(order)));
    if known.map(|known| (known.class, known.amounts)) == new {
        return Ok(known.cloned());
    }
    let mut at = known.map_or(now, |known| now.max(known.since));
    let begins_or_ends = known.is_some() != new.is_some();
    if begins_or_ends {
        let account = read_account(engine, order.id).await?;
        if let Some(ended) = account.as_ref().and_then(|(account, _)| account.ended_at) {
            at = at.max(ended);
        }
        write_account(commit, account, order, at, new.is_none())?;
    }
    let mut deltas: BTreeMap<Class, [i128; AMOUNTS]> = BTreeMap::new();
    let mut add = |class: Class, usage: &Usage, sign: i128| {
        for (sum, amount) in deltas.entry(class).or_default().iter_mut().zip(amounts(usage)) {
            *sum += sign * amount;
        }
    };
    if let Some(known) = known {
        add(known.class, &known.amounts, -1);
    }
    if let Some((class, amounts)) = &new {
        add(*class, amounts, 1);
    }
    for (class, delta) in deltas {
        add_to_line(engine, commit, &Line::of(order, class), &delta, at).await?;
    }
    let step = Step { class, amounts: new.map(|(_, amounts)| amounts).unwrap_or_default() };
    commit.put(at_key(&keys::metered(order.id), at.as_unsigned_millis()), encode(&step)?);
    Ok(new.map(|(class, amounts)| Metered { class, amounts, since: at }))
}

async fn add_to_line(
    engine: &dyn Engine,
    commit: &mut Commit,
    line: &Line,
    delta: &[i128; AMOUNTS],
    at: Timestamp,
) -> Result<(), Error> {
    let name = name_of(line);
    let key = keys::usage_line(&name);
    if engine.get(&key).await?.is_none() {
        commit.put(key, encode(line)?);
    }
    let terms = terms_of(delta, at);
    let instant = at_key(&keys::usage_instants(&name), at.as_unsigned_millis());
    for sum in sums_of(&instant).into_iter().flatten() {
        commit.sum(sum, &terms);
    }
    commit.sum(instant, &terms);
    Ok(())
}

pub(super) async fn read_account(
    engine: &dyn Engine,
    order: OrderId,
) -> Result<Option<(Account, Bytes)>, Error> {
    let Some(raw) = engine.get(&keys::account(order)).await? else { return Ok(None) };
    Ok(Some((decode(&raw)?, raw)))
}

/// The account of an order that begins to be metered, ends, or begins again.
fn write_account(
    commit: &mut Commit,
    known: Option<(Account, Bytes)>,
    order: &Order,
    at: Timestamp,
    ends: bool,
) -> Result<(), Error> {
    let instance = order.instance.as_ref().map(|instance| instance.id.clone());
    let known = known.map(|(account, _)| account);
    if let Some(ended) = known.as_ref().and_then(|account| account.ended_at) {
        commit.delete(keys::account_end(ended, order.id));
    }
    let account = Account {
        order: order.id,
        kind: order.kind,
        name: order.name.clone(),
        owner: order.owner(),
        user: order.user.name.clone(),
        group: order.group.clone(),
        cloud: order.cloud.clone(),
        site: order.site.clone(),
        requesting_site: requesting_site(order),
        instance: instance.or_else(|| known.as_ref().and_then(|known| known.instance.clone())),
        started_at: known.map_or(at, |known| known.started_at),
        ended_at: ends.then_some(at),
    };
    for index in account_indexes(&account) {
        commit.put(index, Bytes::new());
    }
    commit.put(keys::account(order.id), encode(&account)?);
    Ok(())
}

/// The indexes of an account.
pub(crate) fn account_indexes(account: &Account) -> Vec<Key> {
    let mut all = vec![keys::with_id(&keys::accounts_of(&account.owner), account.order)];
    all.extend(account.ended_at.map(|ended| keys::account_end(ended, account.order)));
    all
}

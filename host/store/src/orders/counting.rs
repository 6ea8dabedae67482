//! What orders count for, and the limits on it.

use std::collections::BTreeMap;

use archipel_model::Error;
use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use archipel_orders::amounts;
use archipel_orders::store::Limit;

use super::record::Counted;
use crate::engine::{Commit, Engine, Key};
use crate::judge::count;
use crate::keys;

/// The four things that are counted: tag in the key, name in errors, and where to find it.
type Counter = (u8, &'static str, fn(&Usage) -> u64, fn(&Limit) -> Option<u64>);

const COUNTERS: [Counter; 4] = [
    (b'i', "instances", |usage| usage.instances, |limit| limit.instances),
    (b'c', "vcpu", |usage| usage.vcpu, |limit| limit.vcpu),
    (b'm', "ram_mib", |usage| usage.ram_mib, |limit| limit.ram_mib),
    (b'd', "disk_gib", |usage| usage.disk_gib, |limit| limit.disk_gib),
];

/// What an order counts for now: what its cloud really gave, where that is known, else what was asked for.
pub(crate) fn amounts_of(order: &Order) -> Usage {
    let mut usage = amounts::amounts(order);
    if let Some(instance) = &order.instance {
        usage.vcpu = instance.allocation.vcpu.map_or(usage.vcpu, u64::from);
        usage.ram_mib = instance.allocation.ram_mib.unwrap_or(usage.ram_mib);
        usage.disk_gib = instance.allocation.disk_gib.unwrap_or(usage.disk_gib);
    }
    usage
}

/// A bounded write of a commit, to be named should it refuse.
pub(super) struct Bounded {
    write: usize,
    counter: String,
    what: &'static str,
    asked: u64,
    limit: u64,
}

/// Counts an order into its own counters and those of its limits; says what it was counted for, and where bounds are.
pub(super) fn count_in(
    commit: &mut Commit,
    order: &Order,
    limits: &[Limit],
) -> Result<(Counted, Vec<Bounded>), Error> {
    let mut counters: BTreeMap<String, Vec<&Limit>> =
        amounts::counters(order).into_iter().map(|counter| (counter, Vec::new())).collect();
    for limit in limits {
        counters.entry(limit.counter.clone()).or_default().push(limit);
    }
    let amounts = amounts_of(order);
    let mut bounded = Vec::new();
    for (counter, limits) in &counters {
        for (tag, what, amount, bound) in COUNTERS {
            let asked = amount(&amounts);
            let max = limits.iter().filter_map(|limit| bound(limit)).min();
            let delta = i64::try_from(asked)
                .map_err(|_| Error::invalid(format!("{what} {asked} cannot be counted; ask for less")))?;
            if let (Some(limit), 1..) = (max, asked) {
                let write = commit.writes.len();
                bounded.push(Bounded { write, counter: counter.clone(), what, asked, limit });
            }
            commit.add(keys::usage(tag, counter), delta, max);
        }
    }
    Ok((Counted { counters: counters.into_keys().collect(), amounts }, bounded))
}

/// The counters that hold what an order counts for, each with how much; those that it adds nothing to are left out.
pub(crate) fn counted_in(counted: &Counted) -> impl Iterator<Item = (Key, u64)> + '_ {
    counted.counters.iter().flat_map(|counter| {
        let each = COUNTERS.iter();
        each.map(|(tag, _, amount, _)| (keys::usage(*tag, counter), amount(&counted.amounts)))
            .filter(|(_, amount)| *amount > 0)
    })
}

/// Counts what changed about an order that was counted before. What the cloud really gave is counted whatever the
/// limits say: it is there.
pub(super) fn recount(commit: &mut Commit, counted: &Counted, now: &Usage) {
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    for counter in &counted.counters {
        for (tag, _, amount, _) in COUNTERS {
            let delta = signed(amount(now)).saturating_sub(signed(amount(&counted.amounts)));
            commit.add(keys::usage(tag, counter), delta, None);
        }
    }
}

/// Which limit a refused write was.
pub(super) fn exceeded(bounded: &[Bounded], write: usize, held: u64) -> Error {
    match bounded.iter().find(|bounded| bounded.write == write) {
        None => Error::internal("a counter was refused that has no bound"),
        Some(Bounded { counter, what, asked, limit, .. }) => Error::conflict(format!(
            "the site's limit for {counter} is {limit} {what}, {held} are in use and {asked} are asked for; delete \
             something or ask for less"
        ))
        .code("limit-exceeded")
        .detail("counter", counter.clone())
        .detail("resource", *what)
        .detail("limit", *limit)
        .detail("used", held)
        .detail("requested", *asked),
    }
}

/// What a counter holds.
pub(super) async fn usage(engine: &dyn Engine, counter: &str) -> Result<Usage, Error> {
    let names: Vec<Key> = COUNTERS.iter().map(|(tag, ..)| keys::usage(*tag, counter)).collect();
    let mut values = engine.get_many(&names).await?.into_iter().map(|value| count(value.as_ref()));
    let mut next = || values.next().unwrap_or(0);
    Ok(Usage { instances: next(), vcpu: next(), ram_mib: next(), disk_gib: next() })
}

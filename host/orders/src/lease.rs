//! When a lease ends, and when its owner is warned of that: a day and an hour before. A lease that was set later than that
//! has no such warning; warnings that were missed while nobody served are one.

use std::time::Duration;

use archipel_model::Timestamp;
use archipel_model::order::Order;

/// How long before its end.
const WARNINGS: [Duration; 2] = [Duration::from_secs(24 * 3600), Duration::from_secs(3600)];

/// Whether the owner is to be warned now.
pub(crate) fn warning_is_due(order: &Order, now: Timestamp) -> bool {
    outstanding(order).any(|at| at <= now)
}

/// When to warn next.
pub(crate) fn next_warning(order: &Order, now: Timestamp) -> Option<Timestamp> {
    outstanding(order).filter(|at| *at > now).min()
}

fn outstanding(order: &Order) -> impl Iterator<Item = Timestamp> + '_ {
    let given = order.lease_warned_at.unwrap_or(order.created_at);
    let at = move |before| order.lease.map(|lease| lease.expires_at.minus(before));
    WARNINGS.into_iter().filter_map(at).filter(move |at| *at > given)
}

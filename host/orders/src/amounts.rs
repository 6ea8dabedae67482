//! What an order counts for, and in which counters: a pure function of its record, so that the store can count in the
//! accepting commit and give back in the closing one without knowing kinds.

use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use archipel_model::spec::Spec;
use archipel_model::{CloudName, Owner};

/// What the order counts for while it is not closed: one instance, and the minimums that its spec asks for. A compute
/// ordered by spec id names no amounts, so it counts as an instance alone.
pub fn amounts(order: &Order) -> Usage {
    let mut usage = Usage { instances: 1, ..Usage::default() };
    match Spec::from_json(order.kind, &order.spec) {
        Ok(Spec::Compute(spec)) => {
            usage.vcpu = spec.vcpu.map_or(0, u64::from);
            usage.ram_mib = spec.ram_mib.unwrap_or(0);
            usage.disk_gib = spec.boot_volume.or(spec.disk_gib).unwrap_or(0);
        }
        Ok(Spec::Volume(spec)) => usage.disk_gib = spec.size_gib,
        _ => {}
    }
    usage
}

/// Every counter that the order counts in: its user's, its group's (where it has one), its cloud's.
pub fn counters(order: &Order) -> Vec<String> {
    let mut all = vec![user_counter(&order.owner()), cloud_counter(&order.cloud)];
    all.extend(order.group.as_deref().map(group_counter));
    all
}

/// `user/ISSUER/SUBJECT`; a slash or per cent sign within a part is escaped, so that no two owners share a counter.
pub fn user_counter(owner: &Owner) -> String {
    format!("user/{}/{}", part(&owner.issuer), part(&owner.subject))
}

/// `group/NAME`, escaped likewise.
pub fn group_counter(group: &str) -> String {
    format!("group/{}", part(group))
}

/// `cloud/NAME`.
pub fn cloud_counter(cloud: &CloudName) -> String {
    format!("cloud/{cloud}")
}

fn part(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_owners_never_share_a_counter() {
        let one = Owner { issuer: "a/b".into(), subject: "c".into() };
        let other = Owner { issuer: "a".into(), subject: "b/c".into() };
        assert_ne!(user_counter(&one), user_counter(&other));
        assert_eq!(user_counter(&Owner { issuer: "i".into(), subject: "s".into() }), "user/i/s");
        assert_eq!(group_counter("100%"), "group/100%25");
    }
}

//! Which of the site's limits an order counts against.

use archipel_model::Error;
use archipel_model::order::Order;

use crate::amounts::{cloud_counter, group_counter, user_counter};
use crate::settings::{LimitGroup, LimitRule, LimitUser};
use crate::store::Limit;

/// The limits of this order. A rule that names the user or group takes the place of the rule for `"*"`.
pub(crate) fn of(rules: &[LimitRule], order: &Order) -> Vec<Limit> {
    let owner = order.owner();
    let user_named = rules.iter().any(|rule| rule.user == Some(LimitUser::One(owner.clone())));
    let group_named = order
        .group
        .clone()
        .is_some_and(|group| rules.iter().any(|rule| rule.group == Some(LimitGroup::One(group.clone()))));
    rules
        .iter()
        .filter_map(|rule| {
            let counter = match (&rule.user, &rule.group, &rule.cloud) {
                (Some(LimitUser::One(one)), ..) if *one == owner => user_counter(&owner),
                (Some(LimitUser::Every(_)), ..) if !user_named => user_counter(&owner),
                (None, Some(LimitGroup::One(one)), _) if order.group.as_ref() == Some(one) => {
                    group_counter(one)
                }
                (None, Some(LimitGroup::Every(_)), _) if !group_named => {
                    group_counter(order.group.as_deref()?)
                }
                (None, None, Some(cloud)) if *cloud == order.cloud => cloud_counter(cloud),
                _ => return None,
            };
            Some(Limit {
                counter,
                instances: rule.instances,
                vcpu: rule.vcpu,
                ram_mib: rule.ram_mib,
                disk_gib: rule.disk_gib,
            })
        })
        .collect()
}

impl LimitRule {
    /// Checks a rule as it is read: exactly one of `user`, `group` and `cloud`, and at least one amount.
    ///
    /// # Errors
    /// `invalid`, saying what to write.
    pub fn check(&self) -> Result<(), Error> {
        let names = [self.user.is_some(), self.group.is_some(), self.cloud.is_some()];
        if names.into_iter().filter(|named| *named).count() != 1 {
            return Err(Error::invalid(
                "a limit names exactly one of user, group and cloud; write one [[limit]] for each",
            ));
        }
        if [self.instances, self.vcpu, self.ram_mib, self.disk_gib].iter().all(Option::is_none) {
            return Err(Error::invalid(
                "a limit without an amount limits nothing; write instances, vcpu, ram_mib or disk_gib",
            ));
        }
        Ok(())
    }
}

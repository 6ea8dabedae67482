//! The three ledgers side by side: what clients were told, what the store holds, what the cloud holds.

use std::collections::BTreeMap;
use std::fmt;

use super::held::Held;
use super::told::Promise;

/// What the comparison found. All of it must be empty.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged, and not in the store or not as promised.
    pub lost: Vec<String>,
    /// More than one instance for one order, or more than one order for one request.
    pub doubled: Vec<String>,
    /// An instance without an order that answers for it.
    pub orphaned: Vec<String>,
    /// Anything else that must not be.
    pub violations: Vec<String>,
    /// How many orders were compared.
    pub orders: usize,
    /// How many instances were compared.
    pub instances: usize,
}

impl Verdict {
    /// Nothing was lost, doubled, orphaned or otherwise wrong.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.orphaned.is_empty()
            && self.violations.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} orders and {} instances compared: {} lost, {} doubled, {} orphaned, {} other violations",
            self.orders,
            self.instances,
            self.lost.len(),
            self.doubled.len(),
            self.orphaned.len(),
            self.violations.len()
        )?;
        for (what, list) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("orphaned", &self.orphaned),
            ("violation", &self.violations),
        ] {
            for line in list.iter().take(20) {
                write!(f, "\n  {what}: {line}")?;
            }
        }
        Ok(())
    }
}

/// Whether an order in this state has its instance.
pub(super) fn is_steady(state: &str) -> bool {
    matches!(state, "fulfilled" | "paused" | "stopped" | "hibernated")
}

/// Compares. `stored` = state of every order by id; `held` = instances by tag. Every order must be settled.
pub fn compare(
    site: &str,
    told: &BTreeMap<String, Promise>,
    stored: &BTreeMap<String, String>,
    held: &BTreeMap<String, Vec<Held>>,
) -> Verdict {
    let mut verdict =
        Verdict { orders: stored.len(), instances: held.values().map(Vec::len).sum(), ..Verdict::default() };
    let is_deleted = |id: &String| told.get(id).is_some_and(|promise| promise.deleted);
    for (id, promise) in told {
        match stored.get(id).map(String::as_str) {
            None => verdict.lost.push(format!("order {id} was acknowledged and is not in the store")),
            Some(state) if promise.deleted && state != "closed" => {
                verdict.lost.push(format!("the delete of {id} was acknowledged and it is {state}"));
            }
            Some("closed") if !promise.deleted && !promise.rests_on.iter().any(is_deleted) => {
                verdict.lost.push(format!("order {id} is closed and nobody deleted it"));
            }
            Some(_) => {}
        }
    }
    for (id, state) in stored {
        if !told.contains_key(id) {
            verdict.doubled.push(format!("order {id} ({state}) exists and no client was told of it"));
        }
        let instances = held.get(&format!("archipel:{site}:{id}")).map_or(&[][..], Vec::as_slice);
        if instances.len() > 1 {
            let attempts: Vec<String> =
                instances.iter().map(|one| format!("{} (attempt {})", one.id, one.attempt)).collect();
            verdict.doubled.push(format!("order {id} ({state}) has {}", attempts.join(" and ")));
        }
        match state.as_str() {
            steady if is_steady(steady) && instances.is_empty() => {
                verdict.lost.push(format!("order {id} is {steady} and the cloud holds nothing for it"));
            }
            "closed" | "failed-on-request" if !instances.is_empty() => {
                verdict
                    .orphaned
                    .push(format!("order {id} is {state} and the cloud holds {}", instances[0].id));
            }
            _ => {}
        }
    }
    for (tag, instances) in held {
        let known = tag.rsplit(':').next().is_some_and(|id| stored.contains_key(id));
        if !known {
            verdict.orphaned.push(format!("{} carries {tag}, which no order has", instances[0].id));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(order: &str, id: &str) -> (String, Vec<Held>) {
        let tag = format!("archipel:s:{order}");
        (tag.clone(), vec![Held { id: id.to_owned(), tag, attempt: 1, account: "a".to_owned() }])
    }

    fn told(id: &str, deleted: bool) -> (String, Promise) {
        (id.to_owned(), Promise { kind: "compute".to_owned(), deleted, ..Promise::default() })
    }

    #[test]
    fn a_clean_world_is_clean() {
        let verdict = compare(
            "s",
            &BTreeMap::from([told("a", false), told("b", true)]),
            &BTreeMap::from([("a".into(), "fulfilled".into()), ("b".into(), "closed".into())]),
            &BTreeMap::from([instance("a", "vm-1")]),
        );
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn each_kind_of_harm_is_seen() {
        let mut doubled = instance("a", "vm-1");
        doubled.1.push(Held {
            id: "vm-2".into(),
            tag: doubled.0.clone(),
            attempt: 2,
            account: "a".to_owned(),
        });
        let verdict = compare(
            "s",
            &BTreeMap::from([told("a", false), told("gone", false), told("d", true), told("e", false)]),
            &BTreeMap::from([
                ("a".into(), "fulfilled".into()),
                ("d".into(), "closed".into()),
                ("e".into(), "fulfilled".into()),
                ("untold".into(), "open".into()),
            ]),
            &BTreeMap::from([doubled, instance("d", "vm-3"), instance("nobody", "vm-4")]),
        );
        assert_eq!(verdict.lost.len(), 2, "{verdict}");
        assert_eq!(verdict.doubled.len(), 2, "{verdict}");
        assert_eq!(verdict.orphaned.len(), 2, "{verdict}");
        assert!(!verdict.is_clean());
    }
}

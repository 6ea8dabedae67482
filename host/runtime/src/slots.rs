//! How many instances the pool holds: what the site file lets plugins do at a time.
//!
//! | slots | hold | as many as |
//! |---|---|---|
//! | AAA | an instance for the length of a call | all AAA places call at a time, each `aaa_concurrency` |
//! | drivers | busy and idle instances | all clouds call at a time, each its `concurrency`, twice: an old version ends its calls beside the new one |
//!
//! A slot is address space and hardly memory, until it is used. The pool is made once, so a little more than the file asks for
//! at the start leaves room for the next cloud; where a reload asks for more, it is told that this waits for a restart.

use serde::Serialize;

use crate::config::RuntimeConfig;
use crate::site::wants;

/// Of each kind at least: room for places that a reload adds.
const LEAST: u64 = 64;
/// AAA slots that are derived at most: a call takes milliseconds, and those that do not find one wait.
const MOST_AAA: u64 = 512;
/// Driver slots that are derived at most; more is for an administrator to ask for.
const MOST_DRIVERS: u64 = 2_048;

/// How many instances the pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// For AAA: nothing else takes them.
    pub aaa: u64,
    /// For drivers.
    pub drivers: u64,
    /// Calls that all clouds may make at a time.
    pub driver_calls: u64,
}

impl Slots {
    /// `limits.aaa_slots` and `limits.driver_slots`, or what follows from the other sections where these are 0.
    pub fn of(config: &RuntimeConfig) -> Self {
        let (mut aaa, mut driver_calls) = (0_u64, 0_u64);
        for want in wants(config) {
            let calls = u64::try_from(want.concurrency).unwrap_or(u64::MAX);
            let of = if want.is_aaa() { &mut aaa } else { &mut driver_calls };
            *of = of.saturating_add(calls);
        }
        let or = |set: u64, derived: u64| if set == 0 { derived } else { set };
        Self {
            aaa: or(config.limits.aaa_slots, aaa.clamp(LEAST, MOST_AAA)),
            drivers: or(
                config.limits.driver_slots,
                driver_calls.saturating_mul(2).clamp(LEAST, MOST_DRIVERS),
            ),
            driver_calls,
        }
    }

    /// The keys of which a pool of these slots has fewer than `wanted`.
    pub(crate) fn short_of(&self, wanted: &Self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("limits.plugins.aaa_slots", self.aaa < wanted.aaa),
            ("limits.plugins.driver_slots", self.drivers < wanted.drivers),
        ];
        keys.into_iter().filter(|(_, short)| *short).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(clouds: usize, more: &str) -> RuntimeConfig {
        let mut text = format!("{more}\n[[authorization]]\nplugin = \"p\"\n");
        for number in 0..clouds {
            text += &format!(
                "[[cloud]]\nname = \"c{number}\"\ndriver = \"d\"\nmapper = \"m\"\nconcurrency = 20\n"
            );
        }
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_small_site_has_room_for_more() {
        assert_eq!(Slots::of(&site(1, "")), Slots { aaa: 64, drivers: 64, driver_calls: 20 });
    }

    #[test]
    fn slots_grow_with_the_clouds_and_their_concurrency() {
        let slots = Slots::of(&site(5, ""));
        assert_eq!(slots, Slots { aaa: 6 * 32, drivers: 200, driver_calls: 100 });
        let small = Slots::of(&site(1, ""));
        let short: Vec<&str> = small.short_of(&slots).collect();
        assert_eq!(short, ["limits.plugins.aaa_slots", "limits.plugins.driver_slots"]);
        assert_eq!(slots.short_of(&small).count(), 0);
        assert_eq!(Slots::of(&site(100, "")).drivers, MOST_DRIVERS);
    }

    #[test]
    fn what_the_administrator_sets_is_what_there_is() {
        let slots = Slots::of(&site(5, "[limits]\naaa_slots = 3\ndriver_slots = 7\n"));
        assert_eq!((slots.aaa, slots.drivers), (3, 7));
    }
}

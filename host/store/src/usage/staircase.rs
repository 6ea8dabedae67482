//! Steps of a line's staircase as numbers that add up, and the keys at which they are kept.

use std::collections::BTreeMap;

use archipel_model::Timestamp;
use archipel_model::plugin::Usage;
use archipel_orders::usage::{Line, Spent};
use bytes::Bytes;

use crate::engine::Key;
use crate::judge::{sequence_of, terms};
use crate::keys;

/// Amounts of a step.
pub(super) const AMOUNTS: usize = 4;
/// Numbers of a step.
const TERMS: usize = 2 * AMOUNTS;
/// The levels of sums: their byte in the key, and how many bits of a time their number leaves out.
pub(super) const ALL: u8 = 0;
pub(super) const COARSE: (u8, u32) = (1, 30);
pub(super) const FINE: (u8, u32) = (2, 22);

/// Numbers of a step, or of many together.
pub(super) type Terms = [i128; TERMS];

pub(super) fn amounts(usage: &Usage) -> [i128; AMOUNTS] {
    [usage.instances, usage.vcpu, usage.ram_mib, usage.disk_gib].map(i128::from)
}

/// A step by `delta` at `at`.
pub(super) fn terms_of(delta: &[i128; AMOUNTS], at: Timestamp) -> Terms {
    let at = i128::from(at.as_unsigned_millis());
    let mut terms = [0; TERMS];
    let (rates, offsets) = terms.split_at_mut(AMOUNTS);
    for ((rate, offset), delta) in rates.iter_mut().zip(offsets).zip(delta) {
        *rate = *delta;
        *offset = delta.saturating_mul(at).saturating_neg();
    }
    terms
}

/// What was used until `at`, by the numbers of all steps before.
pub(super) fn spent(terms: &Terms, at: Timestamp) -> Spent {
    let at = i128::from(at.as_unsigned_millis());
    let [instances, vcpu, ram_mib, disk_gib, a, b, c, d] = *terms;
    let until = |rate: i128, offset: i128| rate.saturating_mul(at).saturating_add(offset);
    Spent {
        instances: until(instances, a),
        vcpu: until(vcpu, b),
        ram_mib: until(ram_mib, c),
        disk_gib: until(disk_gib, d),
    }
}

pub(super) fn fixed(value: Option<&Bytes>) -> Terms {
    let mut fixed = [0; TERMS];
    for (place, term) in fixed.iter_mut().zip(terms(value)) {
        *place = term;
    }
    fixed
}

/// The name of a line.
pub(super) fn name_of(line: &Line) -> [u8; 32] {
    let Line { owner, group, cloud, site, requesting_site, kind, class } = line;
    let has_group = if group.is_some() { "group" } else { "" };
    keys::line(
        owner,
        &[
            has_group,
            group.as_deref().unwrap_or_default(),
            cloud.as_str(),
            site.as_str(),
            requesting_site.as_str(),
            kind.as_str(),
            class.as_str(),
        ],
    )
}

/// The key of a line's record.
pub(crate) fn line_key(line: &Line) -> Key {
    keys::usage_line(&name_of(line))
}

/// Times of keys: those before 1970 are 1970.
pub(super) fn at_key(prefix: &[u8], at: u64) -> Key {
    [prefix, &at.to_be_bytes()].concat()
}

/// The sums in which a step of a line counts, by the key of its instant: of all, coarse, fine.
pub(crate) fn sums_of(instant: &[u8]) -> Option<[Key; 3]> {
    let line = instant.get(keys::INSTANTS.len()..)?.first_chunk::<32>()?;
    let at = sequence_of(instant).filter(|_| instant.len() == keys::INSTANTS.len() + 40)?;
    let level = |(level, bits): (u8, u32)| at_key(&keys::usage_sums(level, line), at >> bits);
    Some([keys::usage_sums(ALL, line), level(COARSE), level(FINE)])
}

/// Sums of steps that come in the order of their keys: what an import makes anew, and a check compares.
#[derive(Default)]
pub(crate) struct Sums {
    open: BTreeMap<Key, Vec<i128>>,
}

impl Sums {
    /// Takes the next step; gives the sums in which none can count any more.
    pub(crate) fn add(&mut self, instant: &[u8], value: &[u8]) -> Vec<(Key, Option<Bytes>)> {
        let Some(keys) = sums_of(instant) else { return Vec::new() };
        let is_over = |key: &Key| !keys.contains(key);
        let over: Vec<Key> = self.open.keys().filter(|key| is_over(key)).cloned().collect();
        let done = over.into_iter().filter_map(|key| self.open.remove_entry(&key)).map(written).collect();
        let step = terms(Some(&Bytes::copy_from_slice(value)));
        for key in keys {
            let sums = self.open.entry(key).or_default();
            sums.resize(sums.len().max(step.len()), 0);
            for (sum, term) in sums.iter_mut().zip(&step) {
                *sum = sum.saturating_add(*term);
            }
        }
        done
    }

    /// The sums that are left.
    pub(crate) fn end(self) -> Vec<(Key, Option<Bytes>)> {
        self.open.into_iter().map(written).collect()
    }
}

fn written((key, sums): (Key, Vec<i128>)) -> (Key, Option<Bytes>) {
    (key, crate::judge::sums_value(&sums))
}

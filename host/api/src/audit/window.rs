//! What could be repeated at will is written one by one up to a bound for each minute, and counted beyond it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use archipel_model::audit::AuditRecord;
use archipel_model::{Owner, Timestamp};

use super::AuditSettings;

/// After so long what was only counted is written.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Users whose refusals are bounded by themselves; more share one bound. Bounds memory.
const USERS: usize = 1024;
/// Addresses that a count names. Bounds the record.
const ADDRESSES: usize = 8;
/// What was written and counted in this minute.
#[derive(Default)]
pub(super) struct Window {
    begun: Timestamp,
    unknown: Bucket,
    users: BTreeMap<Owner, Bucket>,
    others: Bucket,
}

#[derive(Default)]
struct Bucket {
    written: u32,
    more: u64,
    last: Option<AuditRecord>,
    is_mixed: bool,
    addresses: BTreeSet<String>,
}

impl Window {
    /// A minute that begins now.
    pub(super) fn beginning(now: Timestamp) -> Self {
        Self { begun: now, ..Self::default() }
    }

    /// What is to be written now for this record: itself, or nothing; and the last minute's counts.
    pub(super) fn take(
        &mut self,
        record: AuditRecord,
        settings: &AuditSettings,
        now: Timestamp,
    ) -> Vec<AuditRecord> {
        let is_over = now.since(self.begun) >= WINDOW || now < self.begun;
        let mut write = if is_over { self.end(now) } else { Vec::new() };
        let (bucket, most) = match &record.who {
            None => (&mut self.unknown, settings.unauthenticated_per_minute),
            Some(who) if self.users.len() < USERS || self.users.contains_key(&who.owner) => {
                (self.users.entry(who.owner.clone()).or_default(), settings.denials_per_minute)
            }
            Some(_) => (&mut self.others, settings.denials_per_minute),
        };
        write.extend(bucket.take(record, most));
        write
    }

    /// Ends the minute.
    pub(super) fn end(&mut self, now: Timestamp) -> Vec<AuditRecord> {
        let over = std::mem::replace(self, Self::beginning(now));
        let buckets = [over.unknown, over.others].into_iter().chain(over.users.into_values());
        buckets.filter_map(|bucket| bucket.counted(now)).collect()
    }
}

impl Bucket {
    fn take(&mut self, record: AuditRecord, most: u32) -> Option<AuditRecord> {
        if self.written < most {
            self.written += 1;
            return Some(record);
        }
        self.more += record.count;
        if let Some(address) = record.address.clone().filter(|_| self.addresses.len() < ADDRESSES) {
            self.addresses.insert(address);
        }
        self.is_mixed |= self.last.as_ref().is_some_and(|last| last.operation != record.operation);
        self.last = Some(record);
        None
    }

    /// One record for all that were not written.
    fn counted(self, now: Timestamp) -> Option<AuditRecord> {
        let last = self.last?;
        let operation = if self.is_mixed { "several".to_owned() } else { last.operation };
        Some(AuditRecord {
            at: now,
            operation,
            request: String::new(),
            address: None,
            order: None,
            reason: Some(
                "counted, because there were more of them in a minute than are recorded one by one"
                    .to_owned(),
            ),
            count: self.more,
            addresses: self.addresses.into_iter().collect(),
            ..last
        })
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::audit::{AuditDoor, AuditUser, Outcome};

    use super::*;

    fn denial(subject: Option<&str>, address: &str) -> AuditRecord {
        let who = subject.map(|subject| AuditUser {
            owner: Owner { issuer: "i".into(), subject: subject.into() },
            name: subject.into(),
            group: None,
            home_site: None,
            session: None,
        });
        let address = Some(address.to_owned());
        AuditRecord {
            who,
            address,
            ..AuditRecord::new(Timestamp::default(), AuditDoor::Public, "get-me", Outcome::Denied)
        }
    }

    #[test]
    fn more_than_the_bound_of_a_minute_is_counted_and_told_when_it_is_over() {
        let settings = AuditSettings { unauthenticated_per_minute: 2, ..AuditSettings::default() };
        let mut window = Window::default();
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        let mut written = 0;
        for number in 0..50 {
            written += window.take(denial(None, &format!("192.0.2.{number}")), &settings, at(1)).len();
        }
        assert_eq!(written, 2);
        assert_eq!(window.take(denial(Some("alice"), "192.0.2.1"), &settings, at(2)).len(), 1, "by herself");
        let next = window.take(denial(None, "192.0.2.9"), &settings, at(61));
        assert_eq!(next.len(), 2, "the count, and the first of the next minute");
        assert_eq!((next[0].count, next[0].addresses.len()), (48, ADDRESSES));
        assert_eq!((next[1].count, next[0].operation.as_str()), (1, "get-me"));
        assert!(window.end(at(70)).is_empty(), "nothing was counted since");
    }

    #[test]
    fn a_clock_that_is_turned_back_ends_the_minute_too() {
        let settings = AuditSettings { unauthenticated_per_minute: 0, ..AuditSettings::default() };
        let mut window = Window::beginning(Timestamp::from_millis(1_000_000));
        let now = Timestamp::from_millis(1_000_001);
        assert!(window.take(denial(None, "a"), &settings, now).is_empty());
        assert_eq!(window.take(denial(None, "a"), &settings, Timestamp::from_millis(5)).len(), 1);
    }

    #[test]
    fn many_users_share_one_bound_instead_of_taking_memory() {
        let settings = AuditSettings { denials_per_minute: 1, ..AuditSettings::default() };
        let mut window = Window::default();
        let mut written = 0;
        for number in 0..USERS + 100 {
            let record = denial(Some(&number.to_string()), "a");
            written += window.take(record, &settings, Timestamp::default()).len();
        }
        assert_eq!((written, window.users.len()), (USERS + 1, USERS));
        assert_eq!(window.end(Timestamp::default()).iter().map(|record| record.count).sum::<u64>(), 99);
    }
}

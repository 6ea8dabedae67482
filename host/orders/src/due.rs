//! Which order of a cloud is worked on next: a queue by time, and a fair turn between owners among those that are due.
//!
//! It is a view of the store, never the truth: it may be thrown away and loaded again at any moment. It knows no clock and no
//! task, so that its rules can be read and tested by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map};

use archipel_model::{OrderId, Owner};
use tokio::time::Instant;

use crate::step::{Memory, Next};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Due then; the number keeps two of one instant apart.
    At(Instant, u64),
    /// Due, waiting for a slot.
    Ready,
    /// Being worked on.
    Running,
    /// Until something happens.
    Resting,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    place: Place,
    memory: Memory,
    /// The newest version that an event told of.
    noticed: u64,
    /// Something happened while it was being worked on.
    again: bool,
}

/// The queue of one cloud.
#[derive(Debug, Default)]
pub(crate) struct Due {
    entries: HashMap<OrderId, Entry>,
    timed: BTreeMap<(Instant, u64), OrderId>,
    ready: HashMap<Owner, VecDeque<OrderId>>,
    turns: VecDeque<Owner>,
    waiting_for_quota: BTreeSet<OrderId>,
    waiting_for_config: BTreeSet<OrderId>,
    running: usize,
    serial: u64,
}

impl Due {
    /// Puts an order in unless it is there already.
    pub(crate) fn insert(&mut self, id: OrderId, owner: Owner, at: Instant) {
        if let hash_map::Entry::Vacant(vacant) = self.entries.entry(id) {
            vacant.insert(Entry {
                owner,
                place: Place::Resting,
                memory: Memory::default(),
                noticed: 0,
                again: false,
            });
            self.schedule(id, at);
        }
    }

    /// An event told of this version: look at the order unless that version is the one it was left with.
    pub(crate) fn notice(&mut self, id: OrderId, owner: &Owner, version: u64, now: Instant) {
        match self.entries.get_mut(&id) {
            None => self.insert(id, owner.clone(), now),
            Some(entry) => {
                entry.noticed = entry.noticed.max(version);
                if entry.place != Place::Running && entry.noticed > entry.memory.version {
                    self.schedule(id, now);
                }
            }
        }
    }

    /// Something that the order depends on changed: look at it now.
    pub(crate) fn nudge(&mut self, id: OrderId, now: Instant) {
        match self.entries.get_mut(&id) {
            Some(entry) if entry.place == Place::Running => entry.again = true,
            Some(_) => self.schedule(id, now),
            None => {}
        }
    }

    /// The configuration changed.
    pub(crate) fn nudge_waiting_for_config(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.waiting_for_config) {
            self.nudge(id, now);
        }
    }

    /// An order was closed: one that waits for quota may try.
    pub(crate) fn nudge_waiting_for_quota(&mut self, now: Instant) {
        if let Some(id) = self.waiting_for_quota.pop_first() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.memory.quota_freed = true;
            }
            self.nudge(id, now);
        }
    }

    /// Takes the next due order: owners take turns.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(OrderId, Memory)> {
        self.move_due(now);
        while let Some(owner) = self.turns.pop_front() {
            let Some(line) = self.ready.get_mut(&owner) else { continue };
            let id = line.pop_front();
            if line.is_empty() {
                self.ready.remove(&owner);
            } else {
                self.turns.push_back(owner);
            }
            if let Some(id) = id
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.place = Place::Running;
                entry.again = false;
                self.running += 1;
                return Some((id, entry.memory));
            }
        }
        None
    }

    /// An order that was taken comes back.
    pub(crate) fn finish(&mut self, id: OrderId, memory: Memory, next: Next, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.place != Place::Running {
            return;
        }
        self.running = self.running.saturating_sub(1);
        self.waiting_for_quota.remove(&id);
        self.waiting_for_config.remove(&id);
        if next.forget {
            self.entries.remove(&id);
            return;
        }
        let quota_freed = entry.memory.quota_freed && entry.again;
        entry.memory = memory;
        entry.memory.quota_freed |= quota_freed;
        entry.place = Place::Resting;
        let again = (entry.again || entry.noticed > memory.version) && !next.hold;
        if next.on_quota {
            self.waiting_for_quota.insert(id);
        }
        if next.on_config {
            self.waiting_for_config.insert(id);
        }
        if again {
            self.schedule(id, now);
        } else if let Some(at) = next.after.and_then(|after| now.checked_add(after)) {
            self.schedule(id, at);
        }
    }

    /// When the next order is due that is not due yet.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.timed.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn ready(&self, now: Instant) -> usize {
        let due = self.timed.range(..=(now, u64::MAX)).count();
        self.ready.values().map(VecDeque::len).sum::<usize>() + due
    }

    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    /// Moves an order that is not being worked on to a time; never later than it was due already.
    fn schedule(&mut self, id: OrderId, at: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match entry.place {
            Place::Ready | Place::Running => return,
            Place::At(due, _) if due <= at => return,
            Place::At(due, serial) => {
                self.timed.remove(&(due, serial));
            }
            Place::Resting => {}
        }
        self.serial += 1;
        entry.place = Place::At(at, self.serial);
        self.timed.insert((at, self.serial), id);
    }

    fn move_due(&mut self, now: Instant) {
        while let Some(first) = self.timed.first_entry().filter(|first| first.key().0 <= now) {
            let id = first.remove();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.place = Place::Ready;
            let line = self.ready.entry(entry.owner.clone()).or_default();
            if line.is_empty() {
                self.turns.push_back(entry.owner.clone());
            }
            line.push_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { issuer: "i".into(), subject: name.into() }
    }

    #[tokio::test]
    async fn owners_take_turns_however_many_orders_one_has() {
        let now = Instant::now();
        let mut due = Due::default();
        for _ in 0..10 {
            due.insert(OrderId::generate(), owner("many"), now);
        }
        let few = OrderId::generate();
        due.insert(few, owner("few"), now);
        let first_two = [due.take(now).unwrap().0, due.take(now).unwrap().0];
        assert!(first_two.contains(&few));
        assert_eq!(due.running(), 2);
    }

    #[tokio::test]
    async fn what_happens_during_a_step_is_not_lost() {
        let now = Instant::now();
        let mut due = Due::default();
        let id = OrderId::generate();
        due.insert(id, owner("a"), now);
        let (_, mut memory) = due.take(now).unwrap();
        assert!(due.take(now).is_none(), "one task per order");
        memory.version = 3;
        due.notice(id, &owner("a"), 4, now);
        due.finish(id, memory, Next::after(Duration::from_secs(30)), now);
        assert!(due.take(now).is_some(), "version 4 was not its own write");
        memory.version = 4;
        due.finish(id, memory, Next::after(Duration::from_secs(30)), now);
        due.notice(id, &owner("a"), 4, now);
        assert!(due.take(now).is_none(), "its own write wakes nobody");
        assert_eq!(due.next_at(), Some(now + Duration::from_secs(30)));
        due.nudge(id, now);
        assert!(due.take(now).is_some());
    }

    #[tokio::test]
    async fn a_step_that_could_not_read_its_order_does_not_spin() {
        let now = Instant::now();
        let mut due = Due::default();
        let id = OrderId::generate();
        due.insert(id, owner("a"), now);
        due.notice(id, &owner("a"), 7, now);
        let (_, memory) = due.take(now).unwrap();
        due.nudge(id, now);
        due.finish(id, memory, Next::held(Duration::from_secs(1)), now);
        assert!(due.take(now).is_none());
        assert!(due.take(now + Duration::from_secs(1)).is_some());
    }

    #[tokio::test]
    async fn quota_that_became_free_is_offered_to_one_at_a_time() {
        let now = Instant::now();
        let mut due = Due::default();
        let next = Next { on_quota: true, ..Next::after(Duration::from_secs(60)) };
        for _ in 0..3 {
            due.insert(OrderId::generate(), owner("a"), now);
            let (id, memory) = due.take(now).unwrap();
            due.finish(id, memory, next, now);
        }
        due.nudge_waiting_for_quota(now);
        assert!(due.take(now).is_some_and(|(_, memory)| memory.quota_freed));
        assert!(due.take(now).is_none());
    }
}

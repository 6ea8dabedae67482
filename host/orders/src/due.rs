//! Which order of a cloud is worked on next: a queue by time, and a fair turn between owners among those that are due.
//!
//! Among an owner's own, what somebody waits for (a create, a delete, what an event told of) and looks at what is steady take
//! turns, so that ten thousand polls do not keep one create waiting. Where many looks at one [`Inventory`] are due about the
//! same time they are set aside, and one list takes their place: what it shows is compared, what it does not show comes back
//! as a look of its own.
//!
//! It is a view of the store, never the truth: it may be thrown away and loaded again at any moment. It knows no clock and no
//! task, so that its rules can be read and tested by themselves.

mod line;
mod lists;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque, hash_map};
use std::sync::Arc;
use std::time::Duration;

use archipel_model::{OrderId, Owner};
use tokio::time::Instant;

use crate::poll::Inventory;
use crate::step::{Memory, Next};
use line::Line;
use lists::Listed;
pub(crate) use lists::{Ended, ListRules};

/// Ends a range of orders at one instant.
const LAST: OrderId = OrderId::from_bytes([0xff; 16]);
/// While a list runs, looks that it was begun too late for come back after so long.
const LIST_RUNS: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Due then.
    At(Instant),
    /// Due since then, waiting for a slot.
    Ready(Instant),
    /// Being worked on.
    Running,
    /// Until something happens.
    Resting,
}

impl Place {
    /// Since when, or when, it is due.
    const fn due(self) -> Option<Instant> {
        match self {
            Self::At(at) | Self::Ready(at) => Some(at),
            Self::Running | Self::Resting => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    owner: Arc<Owner>,
    place: Place,
    memory: Memory,
    /// The newest version that an event told of.
    noticed: u64,
    /// Something happened while it was being worked on.
    again: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Work {
    /// One order's own step.
    Step(OrderId, Memory),
    /// One list for all looks at an inventory that are set aside until that instant.
    List(Arc<Inventory>, Instant),
}

/// The queue of one cloud.
#[derive(Debug)]
pub(crate) struct Due {
    rules: ListRules,
    is_loaded: bool,
    entries: HashMap<OrderId, Entry>,
    timed: BTreeSet<(Instant, OrderId)>,
    /// A million orders of a hundred users hold a hundred names.
    owners: HashSet<Arc<Owner>>,
    ready: HashMap<Arc<Owner>, Line>,
    turns: VecDeque<Arc<Owner>>,
    /// Due looks by what a list would show them in; exactly the entries with an inventory that are `At` or `Ready`.
    looks: HashMap<Arc<Inventory>, BTreeSet<(Instant, OrderId)>>,
    lists: HashMap<Arc<Inventory>, Listed>,
    waiting_for_quota: BTreeSet<OrderId>,
    waiting_for_config: BTreeSet<OrderId>,
    standing: usize,
    running: usize,
    unasked: usize,
}

impl Due {
    pub(crate) fn new(rules: ListRules) -> Self {
        Self {
            rules,
            is_loaded: false,
            entries: HashMap::new(),
            timed: BTreeSet::new(),
            owners: HashSet::new(),
            ready: HashMap::new(),
            turns: VecDeque::new(),
            looks: HashMap::new(),
            lists: HashMap::new(),
            waiting_for_quota: BTreeSet::new(),
            waiting_for_config: BTreeSet::new(),
            standing: 0,
            running: 0,
            unasked: 0,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.rules);
    }

    /// Everything is in it: from now on lists are worth their calls. One that began before would miss what is loaded after it.
    pub(crate) fn loaded(&mut self) {
        self.is_loaded = true;
    }

    /// Puts an order in unless it is there already.
    pub(crate) fn insert(&mut self, id: OrderId, owner: Owner, at: Instant, mut memory: Memory) {
        memory.inventory = memory.inventory.map(|inventory| self.shared(inventory));
        let owner = match self.owners.get(&owner) {
            Some(known) => Arc::clone(known),
            None => {
                let owner = Arc::new(owner);
                self.owners.insert(Arc::clone(&owner));
                owner
            }
        };
        if let hash_map::Entry::Vacant(vacant) = self.entries.entry(id) {
            self.unasked += usize::from(memory.unasked);
            vacant.insert(Entry { owner, place: Place::Resting, memory, noticed: 0, again: false });
            self.schedule(id, at);
        }
    }

    /// An event told of this version: look at the order unless that version is the one it was left with.
    pub(crate) fn notice(&mut self, id: OrderId, owner: &Owner, version: u64, now: Instant) {
        match self.entries.get_mut(&id) {
            None => {
                let memory = Memory { unasked: version == 1, ..Memory::default() };
                self.insert(id, owner.clone(), now, memory);
            }
            Some(entry) => {
                entry.noticed = entry.noticed.max(version);
                if entry.place != Place::Running && entry.noticed > entry.memory.version {
                    self.wake(id, now);
                }
            }
        }
    }

    /// Something that the order depends on changed: look at it now.
    pub(crate) fn nudge(&mut self, id: OrderId, now: Instant) {
        match self.entries.get_mut(&id) {
            Some(entry) if entry.place == Place::Running => entry.again = true,
            Some(_) => self.wake(id, now),
            None => {}
        }
    }

    /// The configuration changed.
    pub(crate) fn nudge_waiting_for_config(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.waiting_for_config) {
            self.nudge(id, now);
        }
        self.lists.values_mut().for_each(|listed| listed.not_before = None);
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

    /// Takes what is to be done next, and a slot for it: owners take turns.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Work> {
        self.move_due(now);
        while let Some(id) = self.next_ready() {
            let inventory = self.entries.get(&id).and_then(|entry| entry.memory.inventory.clone());
            if let Some(inventory) = inventory {
                if self.lists.get(&inventory).is_some_and(|listed| listed.is_running) {
                    // The next list shows it, when this one has ended.
                    self.put(id, Place::At(now + LIST_RUNS));
                    continue;
                }
                if self.one_list_is_better(&inventory, now) {
                    let until = self.set_aside(&inventory, now);
                    self.running += 1;
                    return Some(Work::List(inventory, until));
                }
            }
            if let Some(memory) = self.start(id) {
                self.running += 1;
                return Some(Work::Step(id, memory));
            }
        }
        None
    }

    /// An order that was taken comes back.
    pub(crate) fn finish(&mut self, id: OrderId, mut memory: Memory, next: Next, now: Instant) {
        memory.inventory = memory.inventory.map(|inventory| self.shared(inventory));
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.place == Place::Running) else {
            return;
        };
        self.waiting_for_quota.remove(&id);
        self.waiting_for_config.remove(&id);
        self.unasked -= usize::from(entry.memory.unasked);
        if next.forget {
            self.entries.remove(&id);
            return;
        }
        self.unasked += usize::from(memory.unasked);
        let quota_freed = entry.memory.quota_freed && entry.again;
        let again = (entry.again || entry.noticed > memory.version) && !next.hold;
        entry.memory = memory;
        entry.memory.quota_freed |= quota_freed;
        entry.place = Place::Resting;
        if next.on_quota {
            self.waiting_for_quota.insert(id);
        }
        if next.on_config {
            self.waiting_for_config.insert(id);
        }
        if again {
            self.wake(id, now);
        } else if let Some(at) = next.after.and_then(|after| now.checked_add(after)) {
            self.schedule(id, at);
        }
    }

    /// A step or a list ended: its slot is free.
    pub(crate) fn free_slot(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// When the next order is due that is not due yet.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.timed.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn ready(&self, now: Instant) -> usize {
        self.standing + self.timed.range(..=(now, LAST)).count()
    }

    /// Slots that are taken.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    /// Orders that the cloud was never asked for.
    pub(crate) const fn unasked(&self) -> usize {
        self.unasked
    }

    /// The same inventory, as the other orders of it name it.
    fn shared(&self, inventory: Arc<Inventory>) -> Arc<Inventory> {
        self.looks.get_key_value(&inventory).map_or(inventory, |(known, _)| Arc::clone(known))
    }

    fn start(&mut self, id: OrderId) -> Option<Memory> {
        self.put(id, Place::Running);
        let entry = self.entries.get_mut(&id)?;
        entry.again = false;
        Some(entry.memory.clone())
    }

    /// Something happened to an order that is not being worked on: its next step is now, and its own.
    fn wake(&mut self, id: OrderId, now: Instant) {
        let Some(entry) = self.entries.get(&id) else { return };
        let at = match entry.place {
            Place::Running => return,
            Place::Ready(_) if entry.memory.inventory.is_none() => return,
            place => place.due().map_or(now, |due| due.min(now)),
        };
        self.put(id, Place::Resting);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.memory.inventory = None;
        }
        self.put(id, Place::At(at));
    }

    /// Moves an order that is not being worked on to a time; never later than it was due already.
    fn schedule(&mut self, id: OrderId, at: Instant) {
        match self.entries.get(&id).map(|entry| entry.place) {
            Some(Place::At(due)) if due <= at => {}
            Some(Place::At(_) | Place::Resting) => self.put(id, Place::At(at)),
            _ => {}
        }
    }

    fn move_due(&mut self, now: Instant) {
        while let Some((at, id)) = self.timed.first().copied().filter(|(at, _)| *at <= now) {
            self.put(id, Place::Ready(at));
        }
    }

    /// The next order that waits for a slot. It stays in its place.
    fn next_ready(&mut self) -> Option<OrderId> {
        let Self { entries, ready, turns, .. } = self;
        let is_ready =
            |id: &OrderId| entries.get(id).is_some_and(|entry| matches!(entry.place, Place::Ready(_)));
        while let Some(owner) = turns.pop_front() {
            let Some(line) = ready.get_mut(&owner) else { continue };
            let id = std::iter::from_fn(|| line.pop()).find(is_ready);
            if line.is_empty() {
                ready.remove(&owner);
            } else {
                turns.push_back(owner);
            }
            if id.is_some() {
                return id;
            }
        }
        None
    }

    /// Moves an order, and keeps in step everything that follows from its place.
    fn put(&mut self, id: OrderId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let old = std::mem::replace(&mut entry.place, place);
        if let Place::At(at) = old {
            self.timed.remove(&(at, id));
        }
        self.standing -= usize::from(matches!(old, Place::Ready(_)));
        if let Some(inventory) = &entry.memory.inventory
            && old.due() != place.due()
        {
            if let (Some(at), Some(looks)) = (old.due(), self.looks.get_mut(inventory)) {
                looks.remove(&(at, id));
                if looks.is_empty() {
                    self.looks.remove(inventory);
                }
            }
            if let Some(at) = place.due() {
                self.looks.entry(Arc::clone(inventory)).or_default().insert((at, id));
            }
        }
        match place {
            Place::At(at) => {
                self.timed.insert((at, id));
            }
            Place::Ready(_) => {
                self.standing += 1;
                let line = self.ready.entry(Arc::clone(&entry.owner)).or_default();
                if line.is_empty() {
                    self.turns.push_back(Arc::clone(&entry.owner));
                }
                line.push(id, entry.memory.inventory.is_some());
            }
            Place::Running | Place::Resting => {}
        }
    }
}

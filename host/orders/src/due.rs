//! Which order of a cloud is worked on next: a queue by time, and a fair turn between owners among those that are due.
//!
//! Among an owner's own, what somebody waits for (a create, a delete, what an event told of) and looks at what is steady take
//! turns, so that ten thousand polls do not keep one create waiting. Where many looks at one [`Inventory`] are due about the
//! same time they are set aside, and one list takes their place: what it shows is compared, what it does not show comes back
//! as a look of its own.
//!
//! It is a view of the store, never the truth: it may be thrown away and loaded again at any moment. It knows no clock and no
//! task, so that its rules can be read and tested by themselves.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque, hash_map};
use std::sync::Arc;
use std::time::Duration;

use archipel_model::{OrderId, Owner};
use tokio::time::Instant;

use crate::poll::Inventory;
use crate::settings::Settings;
use crate::step::{Memory, Next};

/// Ends a range of orders at one instant.
const LAST: OrderId = OrderId::from_bytes([0xff; 16]);
/// While a list runs, looks that it was begun too late for come back after so long.
const LIST_RUNS: Duration = Duration::from_millis(250);
/// Lists in a row that mostly did not tell, after which looks are made one by one for a while.
const USELESS: u32 = 2;

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

/// Orders of one owner that wait for a slot. One that was moved since it came here is skipped when its turn comes.
#[derive(Debug, Default)]
struct Line {
    urgent: VecDeque<OrderId>,
    looks: VecDeque<OrderId>,
    look_is_next: bool,
}

impl Line {
    fn push(&mut self, id: OrderId, is_look: bool) {
        if is_look { self.looks.push_back(id) } else { self.urgent.push_back(id) }
    }

    fn pop(&mut self) -> Option<OrderId> {
        let (first, second) = match self.look_is_next {
            true => (&mut self.looks, &mut self.urgent),
            false => (&mut self.urgent, &mut self.looks),
        };
        self.look_is_next = !self.look_is_next;
        first.pop_front().or_else(|| second.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.looks.is_empty()
    }
}

/// When one list takes the place of many looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListRules {
    /// So many looks at one inventory, and two for each page that its last list had, ...
    from: usize,
    /// ... that are due within so long of each other.
    window: Duration,
    /// A list takes all looks with it that are due within so long.
    ahead: Duration,
    /// A list that does not spare looks is not asked for again before.
    rest: Duration,
}

impl ListRules {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            from: if settings.list_from == 0 { usize::MAX } else { settings.list_from },
            window: Settings::ms(settings.list_window_ms),
            ahead: Settings::ms(settings.poll_steady_ms) / 2,
            rest: Settings::ms(settings.slow_retry_ms),
        }
    }
}

/// What is remembered of the lists of one inventory.
#[derive(Debug, Default)]
struct Listed {
    is_running: bool,
    /// The looks that it takes the place of, and when they were due.
    aside: Vec<(Instant, OrderId)>,
    pages: usize,
    useless: u32,
    not_before: Option<Instant>,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Work {
    /// One order's own step.
    Step(OrderId, Memory),
    /// One list for all looks at an inventory that are set aside until that instant.
    List(Arc<Inventory>, Instant),
}

/// How a list ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    /// Its pages.
    pub(crate) pages: usize,
    /// Looks that it spared.
    pub(crate) spared: usize,
    /// Looks that must be made all the same, because it showed something else than was known.
    pub(crate) differed: usize,
    /// It failed: do not ask again before.
    pub(crate) not_within: Option<Duration>,
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

    /// A list shows this one: the look that was set aside until then begins, within the list's slot.
    pub(crate) fn shown(&mut self, id: OrderId, until: Instant) -> Option<Memory> {
        let entry = self.entries.get(&id)?;
        if entry.place == Place::At(until) { self.start(id) } else { None }
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

    /// A list ended: what it did not show is looked at by itself, at once where it came to its end, and when it was due where
    /// it failed. Whether it was worth its calls is remembered. Says how many it did not show.
    pub(crate) fn end_list(
        &mut self,
        inventory: &Arc<Inventory>,
        until: Instant,
        ended: Ended,
        now: Instant,
    ) -> usize {
        let aside = self.lists.get_mut(inventory).map(|listed| std::mem::take(&mut listed.aside));
        let mut unseen = 0;
        for (at, id) in aside.unwrap_or_default() {
            if self.entries.get(&id).is_none_or(|entry| entry.place != Place::At(until)) {
                continue;
            }
            unseen += 1;
            match ended.not_within {
                Some(_) => self.put(id, Place::At(at)),
                None => self.wake(id, now),
            }
        }
        let (rules, listed) = (self.rules, self.lists.entry(Arc::clone(inventory)).or_default());
        listed.is_running = false;
        listed.pages = ended.pages;
        let looked = ended.spared.saturating_add(ended.differed).saturating_add(unseen);
        let is_useless = ended.spared.saturating_mul(2) < looked;
        listed.useless = if is_useless { listed.useless.saturating_add(1) } else { 0 };
        let rest = Some(rules.rest).filter(|_| listed.useless >= USELESS);
        listed.not_before = ended.not_within.max(rest).map(|wait| now + wait);
        unseen
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

    /// Whether enough looks at an inventory are due about now to be worth a list. A list costs a call for each page.
    fn one_list_is_better(&self, inventory: &Arc<Inventory>, now: Instant) -> bool {
        let listed = self.lists.get(inventory);
        if listed.and_then(|listed| listed.not_before).is_some_and(|at| at > now) {
            return false;
        }
        let pages = listed.map_or(0, |listed| listed.pages);
        let least = self.rules.from.max(pages.saturating_mul(2));
        let Some(looks) = self.looks.get(inventory) else { return false };
        self.is_loaded
            && looks.len() >= least
            && looks.range(..=(now + self.rules.window, LAST)).nth(least.saturating_sub(1)).is_some()
    }

    /// Takes the looks that a list begun now will show out of the way. Should it never end, they come back by themselves.
    fn set_aside(&mut self, inventory: &Arc<Inventory>, now: Instant) -> Instant {
        let until = now + self.rules.ahead * 4;
        let taken: Vec<(Instant, OrderId)> = self
            .looks
            .get(inventory)
            .map_or_else(Vec::new, |looks| looks.range(..=(now + self.rules.ahead, LAST)).copied().collect());
        for (_, id) in &taken {
            self.put(*id, Place::At(until));
        }
        let listed = self.lists.entry(Arc::clone(inventory)).or_default();
        (listed.is_running, listed.aside) = (true, taken);
        until
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

#[cfg(test)]
mod tests {
    use archipel_model::order::Kind;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { issuer: "i".into(), subject: name.into() }
    }

    fn queue() -> Due {
        let mut due = Due::new(ListRules::of(&Settings::default()));
        due.loaded();
        due
    }

    fn insert(due: &mut Due, owner: Owner, at: Instant) -> OrderId {
        let id = OrderId::generate();
        due.insert(id, owner, at, Memory::default());
        id
    }

    fn inventory() -> Arc<Inventory> {
        Arc::new(Inventory { account: "team".into(), kind: Kind::Compute })
    }

    fn look(due: &mut Due, owner: Owner, at: Instant) -> OrderId {
        let id = OrderId::generate();
        due.insert(id, owner, at, Memory { inventory: Some(inventory()), ..Memory::default() });
        id
    }

    fn step(due: &mut Due, now: Instant) -> Option<(OrderId, Memory)> {
        match due.take(now)? {
            Work::Step(id, memory) => Some((id, memory)),
            Work::List(..) => panic!("a list where a step was expected"),
        }
    }

    fn list(due: &mut Due, now: Instant) -> Instant {
        loop {
            match due.take(now) {
                Some(Work::List(what, until)) if what == inventory() => return until,
                Some(Work::Step(..)) => {}
                work => panic!("{work:?} where a list was expected"),
            }
        }
    }

    fn looks(due: &mut Due, many: usize, at: Instant) -> Vec<OrderId> {
        (0..many).map(|_| look(due, owner("a"), at)).collect()
    }

    /// A list that shows all of them as they were.
    fn spare(due: &mut Due, ids: &[OrderId], until: Instant, pages: usize, now: Instant) {
        for id in ids {
            let memory = due.shown(*id, until).unwrap();
            due.finish(*id, memory, Next::after(after(1000)), now);
        }
        let ended = Ended { pages, spared: ids.len(), ..Ended::default() };
        assert_eq!(due.end_list(&inventory(), until, ended, now), 0);
        due.free_slot();
    }

    fn after(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[tokio::test]
    async fn owners_take_turns_however_many_orders_one_has() {
        let now = Instant::now();
        let mut due = queue();
        for _ in 0..10 {
            insert(&mut due, owner("many"), now);
        }
        let few = insert(&mut due, owner("few"), now);
        let first_two = [step(&mut due, now).unwrap().0, step(&mut due, now).unwrap().0];
        assert!(first_two.contains(&few));
        assert_eq!((due.running(), due.ready(now)), (2, 9));
        due.free_slot();
        assert_eq!(due.running(), 1);
    }

    #[tokio::test]
    async fn looks_and_what_somebody_waits_for_take_turns() {
        let now = Instant::now();
        let mut due = Due::new(ListRules { from: usize::MAX, ..queue().rules });
        for _ in 0..10 {
            look(&mut due, owner("a"), now);
        }
        assert!(step(&mut due, now).is_some());
        let urgent = [insert(&mut due, owner("a"), now), insert(&mut due, owner("a"), now)];
        let next: Vec<OrderId> = (0..4).map(|_| step(&mut due, now).unwrap().0).collect();
        assert_eq!(next.iter().filter(|id| urgent.contains(id)).count(), 2, "two of four");
    }

    #[tokio::test]
    async fn what_happens_during_a_step_is_not_lost() {
        let now = Instant::now();
        let mut due = queue();
        let id = insert(&mut due, owner("a"), now);
        let (_, mut memory) = step(&mut due, now).unwrap();
        assert!(due.take(now).is_none(), "one task per order");
        memory.version = 3;
        due.notice(id, &owner("a"), 4, now);
        due.finish(id, memory.clone(), Next::after(after(30)), now);
        assert!(due.take(now).is_some(), "version 4 was not its own write");
        memory.version = 4;
        due.finish(id, memory, Next::after(after(30)), now);
        due.notice(id, &owner("a"), 4, now);
        assert!(due.take(now).is_none(), "its own write wakes nobody");
        assert_eq!(due.next_at(), Some(now + after(30)));
        due.nudge(id, now);
        assert!(due.take(now).is_some());
    }

    #[tokio::test]
    async fn a_step_that_could_not_read_its_order_does_not_spin() {
        let now = Instant::now();
        let mut due = queue();
        let id = insert(&mut due, owner("a"), now);
        due.notice(id, &owner("a"), 7, now);
        let (_, memory) = step(&mut due, now).unwrap();
        due.nudge(id, now);
        due.finish(id, memory, Next::held(after(1)), now);
        assert!(due.take(now).is_none());
        assert!(due.take(now + after(1)).is_some());
    }

    #[tokio::test]
    async fn quota_that_became_free_is_offered_to_one_at_a_time() {
        let now = Instant::now();
        let mut due = queue();
        let next = Next { on_quota: true, ..Next::after(after(60)) };
        for _ in 0..3 {
            insert(&mut due, owner("a"), now);
            let (id, memory) = step(&mut due, now).unwrap();
            due.finish(id, memory, next, now);
        }
        due.nudge_waiting_for_quota(now);
        assert!(step(&mut due, now).is_some_and(|(_, memory)| memory.quota_freed));
        assert!(due.take(now).is_none());
    }

    #[tokio::test]
    async fn many_looks_that_are_due_about_the_same_time_are_one_list_and_few_are_not() {
        let now = Instant::now();
        let mut due = queue();
        let few = looks(&mut due, 7, now);
        let taken: Vec<OrderId> = (0..7).map(|_| step(&mut due, now).unwrap().0).collect();
        assert_eq!(taken.len(), few.len());

        let mut due = Due::new(queue().rules);
        looks(&mut due, 20, now);
        assert!(step(&mut due, now).is_some(), "more may be loaded, and a list would miss it");

        let mut due = queue();
        let soon: Vec<OrderId> =
            (0..30).map(|n| look(&mut due, owner("a"), now + Duration::from_millis(400 * n))).collect();
        let later = look(&mut due, owner("a"), now + after(16));
        let until = list(&mut due, now);
        assert_eq!((due.running(), due.ready(now)), (1, 0), "one slot for all of them");
        assert!(due.take(now).is_none());
        assert!(due.shown(later, until).is_none(), "that one is not due for long");
        spare(&mut due, &soon, until, 1, now);
        assert!(due.shown(soon[0], until).is_none(), "once is enough");
        assert!(due.take(now + after(15)).is_none());
        assert!(step(&mut due, now + after(16)).is_some_and(|(id, _)| id == later), "one alone is no list");
    }

    #[tokio::test]
    async fn what_a_list_does_not_show_is_looked_at_by_itself() {
        let now = Instant::now();
        let mut due = queue();
        let all = looks(&mut due, 20, now);
        let until = list(&mut due, now);
        for id in &all[1..] {
            let memory = due.shown(*id, until).unwrap();
            due.finish(*id, memory, Next::after(after(30)), now);
        }
        assert_eq!(
            due.end_list(&inventory(), until, Ended { pages: 1, spared: 19, ..Ended::default() }, now),
            1
        );
        let (id, memory) = step(&mut due, now).unwrap();
        assert_eq!((id, memory.inventory), (all[0], None));
    }

    #[tokio::test]
    async fn what_happens_to_an_order_while_a_list_runs_has_its_own_step_at_once() {
        let now = Instant::now();
        let mut due = queue();
        let all = looks(&mut due, 20, now);
        let until = list(&mut due, now);
        due.notice(all[3], &owner("a"), 9, now);
        assert_eq!(step(&mut due, now).unwrap().0, all[3]);
        assert!(due.shown(all[3], until).is_none());
        due.nudge(all[4], now);
        assert!(due.shown(all[4], until).is_none());
        let memory = due.shown(all[5], until).unwrap();
        due.nudge(all[5], now);
        due.finish(all[5], memory, Next::after(after(30)), now);
        let next = [step(&mut due, now).unwrap().0, step(&mut due, now).unwrap().0];
        assert!(next.contains(&all[4]) && next.contains(&all[5]));
    }

    #[tokio::test]
    async fn an_inventory_is_listed_once_at_a_time_and_more_often_than_its_pages_are_worth_never() {
        let now = Instant::now();
        let mut due = queue();
        let first = looks(&mut due, 20, now);
        let until = list(&mut due, now);
        let second = looks(&mut due, 30, now);
        assert!(due.take(now).is_none(), "they wait for the next list");
        spare(&mut due, &first, until, 15, now);
        let until = list(&mut due, now + after(1));
        spare(&mut due, &second, until, 16, now + after(1));
        looks(&mut due, 31, now + after(2));
        assert!(step(&mut due, now + after(2)).is_some(), "31 looks are cheaper than two times 16 pages");
    }

    #[tokio::test]
    async fn a_list_that_fails_or_does_not_tell_is_not_asked_for_again_for_a_while() {
        let now = Instant::now();
        let wait = Some(after(30));
        for (ended, lists) in [(Ended { not_within: wait, ..Ended::default() }, 1), (Ended::default(), 2)] {
            let mut due = queue();
            looks(&mut due, 20, now);
            for _ in 0..lists {
                let until = list(&mut due, now);
                assert_eq!(due.end_list(&inventory(), until, ended, now), 20);
                due.free_slot();
                looks(&mut due, 20, now);
            }
            while let Some(work) = due.take(now) {
                assert!(matches!(work, Work::Step(..)), "{work:?}");
            }
            looks(&mut due, 20, now + after(700));
            list(&mut due, now + after(700));
        }
    }

    #[tokio::test]
    async fn orders_that_were_never_asked_for_are_counted() {
        let now = Instant::now();
        let mut due = queue();
        let [one, two] = [OrderId::generate(), OrderId::generate()];
        due.notice(one, &owner("a"), 1, now);
        due.notice(two, &owner("a"), 1, now);
        due.notice(OrderId::generate(), &owner("a"), 5, now);
        assert_eq!(due.unasked(), 2);
        let mut taken = Vec::new();
        while let Some((id, memory)) = step(&mut due, now) {
            taken.push((id, memory));
        }
        for (id, memory) in taken {
            let next = if id == two { Next::FORGET } else { Next::EVENT };
            due.finish(id, Memory { unasked: id == one, ..memory }, next, now);
        }
        assert_eq!(due.unasked(), 1);
    }
}

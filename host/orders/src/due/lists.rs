//! When one list takes the place of many looks, what it shows, and what becomes of what it did not show.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::OrderId;
use tokio::time::Instant;

use super::{Due, LAST, Place};
use crate::poll::Inventory;
use crate::settings::Settings;
use crate::step::Memory;

/// Lists in a row that mostly did not tell, after which looks are made one by one for a while.
const USELESS: u32 = 2;

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
pub(super) struct Listed {
    pub(super) is_running: bool,
    /// The looks that it takes the place of, and when they were due.
    aside: Vec<(Instant, OrderId)>,
    pages: usize,
    useless: u32,
    pub(super) not_before: Option<Instant>,
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

impl Due {
    /// A list shows this one: the look that was set aside until then begins, within the list's slot.
    pub(crate) fn shown(&mut self, id: OrderId, until: Instant) -> Option<Memory> {
        let entry = self.entries.get(&id)?;
        if entry.place == Place::At(until) { self.start(id) } else { None }
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

    /// Whether enough looks at an inventory are due about now to be worth a list. A list costs a call for each page.
    pub(super) fn one_list_is_better(&self, inventory: &Arc<Inventory>, now: Instant) -> bool {
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
    pub(super) fn set_aside(&mut self, inventory: &Arc<Inventory>, now: Instant) -> Instant {
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
}

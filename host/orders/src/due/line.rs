//! One owner's orders that wait for a slot: what somebody waits for and looks at what is steady take turns.

use std::collections::VecDeque;

use archipel_model::OrderId;

/// Orders of one owner that wait for a slot. One that was moved since it came here is skipped when its turn comes.
#[derive(Debug, Default)]
pub(super) struct Line {
    urgent: VecDeque<OrderId>,
    looks: VecDeque<OrderId>,
    look_is_next: bool,
}

impl Line {
    pub(super) fn push(&mut self, id: OrderId, is_look: bool) {
        if is_look { self.looks.push_back(id) } else { self.urgent.push_back(id) }
    }

    pub(super) fn pop(&mut self) -> Option<OrderId> {
        let (first, second) = match self.look_is_next {
            true => (&mut self.looks, &mut self.urgent),
            false => (&mut self.urgent, &mut self.looks),
        };
        self.look_is_next = !self.look_is_next;
        first.pop_front().or_else(|| second.pop_front())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.looks.is_empty()
    }
}

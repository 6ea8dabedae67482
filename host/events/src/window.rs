//! Which events are read and not sent, which of them may go now, and up to where all is sent. Pure.
//!
//! Of one subject one event is on its way at a time, the next waits behind it: that keeps its order whatever fails.
//! Other subjects pass by. The place that is kept is before the oldest event that is not sent, so that a crash sends
//! some again and forgets none.

use std::collections::{BTreeMap, HashMap, VecDeque};

use archipel_model::{OrderId, Timestamp};

use crate::cloud_event::CloudEvent;

/// An event with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) sequence: u64,
    pub(crate) event: CloudEvent,
}

/// Events between what is sent and what is read.
#[derive(Debug, Default)]
pub(crate) struct Window {
    read: u64,
    /// Not sent, by place.
    open: BTreeMap<u64, Timestamp>,
    /// Behind the one on its way, by subject; an entry means that one is.
    behind: HashMap<Option<OrderId>, VecDeque<Placed>>,
}

impl Window {
    /// All up to `read` is sent.
    pub(crate) fn from(read: u64) -> Self {
        Self { read, ..Self::default() }
    }

    /// Up to where the log was read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Up to where all is sent.
    pub(crate) fn position(&self) -> u64 {
        self.open.first_key_value().map_or(self.read, |(oldest, _)| oldest.saturating_sub(1))
    }

    /// How many are read and not sent.
    pub(crate) fn waiting(&self) -> usize {
        self.open.len()
    }

    /// When the oldest of them happened.
    pub(crate) fn behind_since(&self) -> Option<Timestamp> {
        self.open.first_key_value().map(|(_, at)| *at)
    }

    /// The log was read up to here.
    pub(crate) fn read_up_to(&mut self, sequence: u64) {
        self.read = self.read.max(sequence);
    }

    /// One event more; back it comes where it may go now.
    pub(crate) fn take(&mut self, placed: Placed) -> Option<Placed> {
        self.read_up_to(placed.sequence);
        self.open.insert(placed.sequence, placed.event.time);
        match self.behind.get_mut(&placed.event.subject) {
            Some(behind) => {
                behind.push_back(placed);
                None
            }
            None => {
                self.behind.insert(placed.event.subject, VecDeque::new());
                Some(placed)
            }
        }
    }

    /// An event is with its receiver (or was given up); the next of its subject may go.
    pub(crate) fn done(&mut self, sequence: u64, subject: Option<OrderId>) -> Option<Placed> {
        self.open.remove(&sequence);
        let next = self.behind.get_mut(&subject).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.behind.remove(&subject);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud_event::tests::{logged, writer};

    fn placed(sequence: u64, subject: OrderId) -> Placed {
        Placed { sequence, event: writer().event(&logged(sequence, subject, "open")) }
    }

    #[test]
    fn one_event_of_a_subject_is_on_its_way_and_others_pass_by() {
        let (a, b) = (OrderId::generate(), OrderId::generate());
        let mut window = Window::from(10);
        assert_eq!(window.take(placed(11, a)).unwrap().sequence, 11);
        assert_eq!(window.take(placed(12, a)), None);
        assert_eq!(window.take(placed(13, b)).unwrap().sequence, 13);
        assert_eq!(window.done(13, Some(b)), None);
        assert_eq!((window.position(), window.read(), window.waiting()), (10, 13, 2));
        assert_eq!(window.done(11, Some(a)).unwrap().sequence, 12);
        assert_eq!(window.position(), 11);
        assert_eq!(window.done(12, Some(a)), None);
        assert_eq!((window.position(), window.waiting()), (13, 0));
        window.read_up_to(20);
        assert_eq!(window.position(), 20);
    }

    proptest! {
        /// Whatever is done in whatever order: nothing at or below the place is unsent, each subject is in order, and in
        /// the end all is sent.
        #[test]
        fn the_place_never_passes_what_is_not_sent(subjects in prop::collection::vec(0..5_u8, 1..60), picks in prop::collection::vec(any::<prop::sample::Index>(), 200)) {
            let ids: Vec<OrderId> = (0..5).map(|_| OrderId::generate()).collect();
            let mut window = Window::from(0);
            let (mut flying, mut sent) = (Vec::new(), Vec::new());
            let mut picks = picks.into_iter();
            let mut next = 1;
            while next <= subjects.len() as u64 || !flying.is_empty() {
                let pick = picks.next();
                let reads = pick.is_none_or(|pick| pick.index(2) == 0) && next <= subjects.len() as u64;
                if reads || flying.is_empty() {
                    let subject = ids[usize::from(subjects[usize::try_from(next - 1).unwrap()])];
                    flying.extend(window.take(placed(next, subject)));
                    next += 1;
                } else {
                    let at = pick.map_or(0, |pick| pick.index(flying.len()));
                    let done: Placed = flying.swap_remove(at);
                    sent.push((done.sequence, done.event.subject));
                    flying.extend(window.done(done.sequence, done.event.subject));
                }
                let position = window.position();
                prop_assert!((1..=position).all(|sequence| sent.iter().any(|(known, _)| *known == sequence)));
            }
            prop_assert_eq!(sent.len(), subjects.len());
            for id in ids {
                let order: Vec<u64> = sent.iter().filter(|(_, subject)| *subject == Some(id)).map(|(sequence, _)| *sequence).collect();
                prop_assert!(order.is_sorted());
            }
        }
    }
}

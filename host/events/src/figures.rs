//! What a publisher did since the daemon started, for `/metrics`, `doctor` and administrators.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archipel_model::publisher::{PublisherState, PublisherStatus};
use archipel_model::{Clock, Timestamp};

use crate::gate::{Gate, Pace};
use crate::window::Window;

pub(crate) struct Figures {
    pub(crate) name: String,
    kind: &'static str,
    target: String,
    clock: Arc<dyn Clock>,
    now: Mutex<Numbers>,
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    position: u64,
    behind_since: Option<Timestamp>,
    waiting: u64,
    sent: u64,
    failures: u64,
    given_up: u64,
    resets: u64,
    sent_at: Option<Timestamp>,
    last_error: Option<String>,
    /// The last error was of all, not of one event.
    is_away: bool,
}

impl Figures {
    pub(crate) fn new(name: &str, kind: &'static str, target: String, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), kind, target, clock, now: Mutex::default() })
    }

    pub(crate) fn stands(&self, window: &Window) {
        let mut now = self.numbers();
        now.position = window.position();
        now.behind_since = window.behind_since();
        now.waiting = window.waiting() as u64;
    }

    /// One was sent, at its first attempt or after failures of its own.
    pub(crate) fn sent(&self, had_failed: bool) {
        let at = self.clock.now();
        let mut now = self.numbers();
        now.sent = now.sent.saturating_add(1);
        now.sent_at = Some(at);
        let was_away = std::mem::take(&mut now.is_away);
        if was_away || had_failed {
            now.last_error = None;
        }
        drop(now);
        if was_away {
            tracing::info!(publisher = self.name, "events are sent again");
        }
    }

    /// An attempt failed; `is_away` where the receiver is, for all events.
    pub(crate) fn failed(&self, reason: &str, is_away: bool) {
        let mut now = self.numbers();
        now.failures = now.failures.saturating_add(1);
        now.last_error = Some(reason.to_owned());
        let was_away = now.is_away;
        now.is_away |= is_away;
        drop(now);
        if is_away && !was_away {
            tracing::warn!(
                publisher = self.name,
                target = self.target,
                reason,
                "an event could not be sent; trying again"
            );
        }
    }

    pub(crate) fn given_up(&self) {
        let mut now = self.numbers();
        now.given_up = now.given_up.saturating_add(1);
        now.last_error = None;
    }

    pub(crate) fn was_reset(&self) {
        let mut now = self.numbers();
        now.resets = now.resets.saturating_add(1);
    }

    pub(crate) fn status(&self, pace: &Pace) -> PublisherStatus {
        let now = self.numbers().clone();
        let state = match pace.now() {
            Gate::Gone => PublisherState::Gone,
            Gate::Until(_) => PublisherState::Waiting,
            Gate::Open if now.is_away => PublisherState::Waiting,
            Gate::Open => PublisherState::Sending,
        };
        PublisherStatus {
            name: self.name.clone(),
            kind: self.kind,
            target: self.target.clone(),
            state,
            position: now.position,
            behind_since: now.behind_since,
            waiting: now.waiting,
            sent: now.sent,
            failures: now.failures,
            given_up: now.given_up,
            resets: now.resets,
            sent_at: now.sent_at,
            last_error: now.last_error,
        }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // Plain numbers: a panic elsewhere cannot have left them half-changed in a way that matters.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

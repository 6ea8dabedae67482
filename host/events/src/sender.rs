//! Sends one event until it is sent: attempt, wait, attempt. What the wait is says `gate`.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::OrderId;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::figures::Figures;
use crate::gate::{Gate, Pace};
use crate::receiver::{Receiver, What};
use crate::window::Placed;

/// What all deliveries of one publisher share.
pub(crate) struct Sender {
    pub(crate) receiver: Arc<dyn Receiver>,
    pub(crate) pace: Pace,
    pub(crate) figures: Arc<Figures>,
    /// Attempts at a time.
    pub(crate) places: Semaphore,
    /// After so long an event that is refused is given up.
    pub(crate) give_up: Option<Duration>,
    pub(crate) stop: CancellationToken,
}

/// How the way of one event ended.
pub(crate) enum Lane {
    /// Sent, or given up.
    Done { sequence: u64, subject: Option<OrderId> },
    /// The publisher stops first.
    Stopped,
}

impl Sender {
    pub(crate) async fn send(self: Arc<Self>, placed: Placed) -> Lane {
        let done = Lane::Done { sequence: placed.sequence, subject: placed.event.subject };
        let (mut failures, begun) = (0_u32, Instant::now());
        loop {
            let place = tokio::select! {
                () = self.stop.cancelled() => return Lane::Stopped,
                place = self.place() => place,
            };
            // Not interrupted by a stop: what is on its way may still arrive.
            let attempt = self.receiver.deliver(&placed.event).await;
            drop(place);
            let Err(failure) = attempt else {
                self.pace.succeeded();
                self.figures.sent(failures > 0);
                return done;
            };
            failures = failures.saturating_add(1);
            self.figures.failed(&failure.reason, matches!(failure.what, What::Away(_)));
            let (publisher, id) = (&self.figures.name, &placed.event.id);
            match failure.what {
                What::Away(asked) => self.pace.away(asked),
                What::Gone => {
                    self.pace.gone();
                    tracing::error!(
                        publisher,
                        reason = failure.reason,
                        "the receiver wants no more events; nothing is sent until `archipel events replay`"
                    );
                }
                What::Refused if self.give_up.is_some_and(|most| begun.elapsed() >= most) => {
                    tracing::error!(
                        publisher,
                        id,
                        reason = failure.reason,
                        "an event was given up: the receiver refuses it for longer than give_up_s"
                    );
                    self.figures.given_up();
                    return done;
                }
                What::Refused if failures == 1 => {
                    tracing::warn!(
                        publisher,
                        id,
                        reason = failure.reason,
                        "the receiver refuses an event; trying again, and those of the same order wait behind it"
                    );
                }
                What::Refused => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return Lane::Stopped,
                () = self.pace.before_next(failures) => {}
            }
        }
    }

    /// A place for one attempt, at a time when attempts may be made.
    async fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        loop {
            self.pace.pass().await;
            // Never closed, so there always is one.
            let place = self.places.acquire().await.ok();
            if self.pace.now() == Gate::Open {
                return place;
            }
        }
    }
}

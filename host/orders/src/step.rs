//! One step of one order: read it anew, do at most what its state calls for, write what came of it, say when to come back.
//!
//! A step decides on what is stored alone. Whatever is interrupted (a crash, a lost claim, a panic, someone else's write)
//! is decided again by the next step.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::order::{Order, State};
use archipel_model::plugin::Operation;
use archipel_model::site::Generation;
use archipel_model::{Error, ErrorKind, OrderId, Timestamp};

use crate::draft::Draft;
use crate::engine::Orders;
use crate::lease;
use crate::pace;
use crate::poll::Inventory;
use crate::reach::{Failure, Reach};
use crate::settings::Settings;
use crate::store::Claim;
use crate::table::Why;

/// What a step was stopped by.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Someone wrote the order in between: decide anew.
    Stale,
    /// The queue is another's now.
    Fenced,
    /// The store cannot serve.
    Store(Error),
    /// The store refused, with a reason for the client.
    Refused(Error),
    /// A rule was broken; the message names which.
    Defect(Error),
}

impl Trouble {
    /// For a client's request.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Stale => Error::conflict("the order was changed at the same time; try again").code("busy"),
            Self::Fenced => Error::transient("the queue changed hands; try again"),
            Self::Store(error) | Self::Refused(error) | Self::Defect(error) => error,
        }
    }
}

/// What is remembered of an order between steps. It may be lost at any time: it only sets the pace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Calls in a row that failed.
    pub(crate) failures: u32,
    /// Looks in a row that found nothing new.
    pub(crate) quiet: u32,
    /// When a delete was last asked for.
    pub(crate) deleted_at: Option<Timestamp>,
    /// When an attempt of unknown outcome ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// Quota may have become free: try although the back-off is not over.
    pub(crate) quota_freed: bool,
    /// A power action was asked for, and what became of it is not known.
    pub(crate) power_unknown: bool,
    /// The newest version that was read or written.
    pub(crate) version: u64,
    /// The next step is a look that a list may take the place of: this one.
    pub(crate) inventory: Option<Arc<Inventory>>,
    /// The cloud was never asked for it, and it is to be.
    pub(crate) unasked: bool,
}

impl Memory {
    /// Of an order that is loaded.
    pub(crate) fn of(order: &Order) -> Self {
        Self { inventory: Inventory::of(order), unasked: is_unasked(order), ..Self::default() }
    }
}

fn is_unasked(order: &Order) -> bool {
    order.requested_at.is_none() && matches!(order.state, State::Open | State::Waiting)
}

/// When to come back to an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    /// After so long; `None`: when something happens.
    pub(crate) after: Option<Duration>,
    /// Also when the configuration changes.
    pub(crate) on_config: bool,
    /// Also when quota may have become free.
    pub(crate) on_quota: bool,
    /// Never: it is closed.
    pub(crate) forget: bool,
    /// Not before, whatever happened meanwhile: the step could not do its work.
    pub(crate) hold: bool,
}

impl Next {
    pub(crate) const NOW: Self = Self::after(Duration::ZERO);
    pub(crate) const EVENT: Self =
        Self { after: None, on_config: false, on_quota: false, forget: false, hold: false };
    pub(crate) const FORGET: Self = Self { forget: true, ..Self::EVENT };

    pub(crate) const fn after(wait: Duration) -> Self {
        Self { after: Some(wait), ..Self::EVENT }
    }

    /// After a step that could not do its work.
    pub(crate) const fn held(wait: Duration) -> Self {
        Self { hold: true, ..Self::after(wait) }
    }

    pub(crate) const fn or_on_config(mut self) -> Self {
        self.on_config = true;
        self
    }
}

/// One step.
pub(crate) struct Step<'a> {
    pub(crate) orders: &'a Orders,
    /// `None` for a step on a client's request.
    pub(crate) claim: Option<Claim>,
    /// Versions of plugins never mix within a step.
    pub(crate) generation: Arc<Generation>,
    pub(crate) memory: &'a mut Memory,
}

impl<'a> Step<'a> {
    /// Does what the order's state calls for.
    pub(crate) async fn run(&mut self, id: OrderId) -> Result<Next, Trouble> {
        let Some(order) = self.orders.store.get(id).await.map_err(Trouble::Store)? else {
            return Ok(Next::FORGET);
        };
        self.memory.version = order.version;
        self.memory.inventory = None;
        self.memory.unasked = is_unasked(&order);
        let next = match order.state {
            State::Closed => return Ok(Next::FORGET),
            State::Closing => return self.close(order).await,
            _ if self.lease_is_over(&order) => {
                let draft = self.draft(&order).go(State::Closing, Why::LeaseOver).map_err(Trouble::Defect)?;
                self.write(draft).await?;
                return Ok(Next::NOW);
            }
            _ if lease::warning_is_due(&order, self.now()) => {
                self.write(self.draft(&order).lease_expiring()).await?;
                return Ok(Next::NOW);
            }
            State::Open | State::Waiting => self.prepare(&order).await?,
            State::Selected => self.resume(&order).await?,
            State::FailedOnRequest => Next::EVENT,
            _ if order.power.is_some() => self.switch(&order).await?,
            _ => self.observe(&order).await?,
        };
        Ok(self.while_it_lives(&order, next))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.orders.clock.now()
    }

    /// What is still missing of a wait that protects; zero = it is over for certain.
    pub(crate) fn left_of(&self, wait: Duration, since: Timestamp) -> Duration {
        wait.saturating_sub(self.orders.steady.waited(since))
    }

    pub(crate) fn settings(&self) -> &'a Settings {
        &self.orders.config.settings
    }

    pub(crate) fn draft(&self, order: &Order) -> Draft {
        Draft::of(order, self.now())
    }

    pub(crate) async fn write(&mut self, draft: Draft) -> Result<Order, Trouble> {
        let order = self.orders.write(draft, self.claim.as_ref(), false).await?;
        self.memory.version = order.version;
        Ok(order)
    }

    /// Writes what must not be lost (what the cloud answered to a create): decides anew when someone wrote in between, outlasts a
    /// store that is away, and goes on without the claim when that was lost, because the order's revision still protects it.
    pub(crate) async fn insist(
        &mut self,
        order: &Order,
        apply: impl Fn(Draft) -> Result<Draft, Error> + Send + Sync,
    ) -> Result<Order, Trouble> {
        let mut order = order.clone();
        let mut claim = self.claim.clone();
        let mut tries = 0_u32;
        loop {
            let draft = apply(self.draft(&order)).map_err(Trouble::Defect)?;
            match self.orders.write(draft, claim.as_ref(), false).await {
                Ok(order) => {
                    self.memory.version = order.version;
                    return Ok(order);
                }
                Err(Trouble::Fenced) if claim.is_some() => claim = None,
                Err(Trouble::Stale) => {}
                Err(Trouble::Store(error)) => {
                    tries = tries.saturating_add(1);
                    tracing::error!(order = %order.id, %error, "what the cloud answered cannot be written yet; trying again");
                    tokio::time::sleep(pace::backoff(
                        Duration::from_millis(100),
                        Duration::from_secs(5),
                        tries,
                    ))
                    .await;
                }
                Err(trouble) => return Err(trouble),
            }
            match self.orders.store.get(order.id).await {
                Ok(Some(stored)) => order = stored,
                Ok(None) => return Err(Trouble::Stale),
                Err(error) => tracing::warn!(order = %order.id, %error, "the store cannot read"),
            }
        }
    }

    /// The way to the order's cloud under its recorded account.
    pub(crate) async fn reach(&self, order: &Order, operation: Operation) -> Result<Reach<'a>, Failure> {
        let account = order.local_account.as_deref().unwrap_or_default();
        Reach::new(self.orders, &self.generation, order, account, operation).await
    }

    /// Nothing can be learned now: the condition is set, the state stays what it was.
    pub(crate) async fn away(&mut self, order: &Order, failure: &Failure) -> Result<Next, Trouble> {
        let error = failure.error();
        if error.has_code("store-unavailable") {
            return Err(Trouble::Store(error.clone()));
        }
        tracing::debug!(order = %order.id, cloud = %order.cloud, %error, "unreachable");
        self.write(self.draft(order).unreachable(failure.scope(), failure.reason())).await?;
        self.memory.quiet = 0;
        let passes = matches!(error.kind, ErrorKind::Transient | ErrorKind::Internal);
        let next = if passes || matches!(failure, Failure::Cloud(_)) {
            Next::after(self.back_off(error))
        } else {
            Next::after(pace::about(Settings::ms(self.settings().slow_retry_ms)))
        };
        Ok(next.or_on_config())
    }

    /// The wait after one more failed call.
    pub(crate) fn back_off(&mut self, error: &Error) -> Duration {
        self.memory.failures = self.memory.failures.saturating_add(1);
        let settings = self.settings();
        let (first, most) = (Settings::ms(settings.poll_first_ms), Settings::ms(settings.poll_steady_ms));
        pace::respecting(error, pace::backoff(first, most, self.memory.failures), settings)
    }

    /// The wait until the next look: the driver's hint, or growing from the first period to the steady one.
    pub(crate) fn look_again(&mut self, hint: Option<Duration>) -> Next {
        let settings = self.settings();
        let (least, first) = (Settings::ms(settings.poll_least_ms), Settings::ms(settings.poll_first_ms));
        let steady = Settings::ms(settings.poll_steady_ms);
        let grown = first.mul_f64(1.5_f64.powi(i32::try_from(self.memory.quiet.min(30)).unwrap_or(30)));
        self.memory.quiet = self.memory.quiet.saturating_add(1);
        Next::after(pace::about(hint.unwrap_or(grown).clamp(least, steady.max(least))))
    }

    /// The wait between looks at what is not expected to change.
    pub(crate) fn look_steadily(&self) -> Next {
        Next::after(pace::about(Settings::ms(self.settings().poll_steady_ms)))
    }

    pub(crate) fn slowly(&self) -> Next {
        Next::after(pace::about(Settings::ms(self.settings().slow_retry_ms)))
    }

    pub(crate) fn deadline_passed(&self, order: &Order) -> bool {
        order.deadline.is_some_and(|deadline| deadline <= self.now())
    }

    fn lease_is_over(&self, order: &Order) -> bool {
        self.left_of_lease(order).is_some_and(|left| left.is_zero())
    }

    /// Until the order is deleted for its lease, which has a grace after its end.
    fn left_of_lease(&self, order: &Order) -> Option<Duration> {
        let (end, now) = (order.lease?.expires_at, self.now());
        let grace = Settings::ms(self.settings().lease_grace_ms);
        Some(if end > now { grace.saturating_add(end.since(now)) } else { self.left_of(grace, end) })
    }

    /// Whether the lease calls for a step now: it is over, or its owner is to be warned.
    pub(crate) fn lease_calls(&self, order: &Order) -> bool {
        self.lease_is_over(order) || lease::warning_is_due(order, self.now())
    }

    /// Not later than the order's own times.
    pub(crate) fn while_it_lives(&self, order: &Order, mut next: Next) -> Next {
        let now = self.now();
        let before_ready =
            matches!(order.state, State::Open | State::Waiting | State::Selected | State::Spawning);
        let deadline = order.deadline.filter(|deadline| before_ready && *deadline > now);
        let ends = [lease::next_warning(order, now), deadline].map(|end| Some(end?.since(now)));
        for wait in ends.into_iter().chain([self.left_of_lease(order)]).flatten() {
            next.after = Some(next.after.map_or(wait, |after| after.min(wait)));
        }
        next
    }
}

/// The deadline's fault.
pub(crate) fn deadline_error() -> Error {
    Error::new(ErrorKind::Permanent, "the deadline passed before it was ready; order again with a later one")
        .code("deadline-passed")
}

/// The fault of an order whose driver can neither repeat nor search.
pub(crate) fn unknown_outcome(order: &Order) -> Error {
    Error::permanent(format!(
        "the cloud was asked to create this and may have done so, and its driver can neither repeat nor search; \
         look in the cloud for {:?} under the account of this order, and ask the administrator to forget the order",
        order.tag()
    ))
    .code("unknown-outcome")
}

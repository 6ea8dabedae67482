//! Many looks by one list: where a driver has `list-instances`, the instances of one account and kind that are due about the
//! same time cost one paged call instead of one call each.
//!
//! **A list can only say: as before.** An instance that it shows exactly as the order knows it has been looked at; whatever
//! it shows otherwise, or does not show, has its own `get-instance` before anything is concluded or written. So the rules of
//! what is gone, what is ready and what was written meanwhile stay where they are, lists may be late or stale, and polls by
//! list write nothing. A driver whose list fails, is unsupported or mostly shows something else is asked one by one.
//!
//! A driver is not told which site asks, so its list may show other sites' instances: those with another tag are skipped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use archipel_model::order::{Instance, Kind, Order, State};
use archipel_model::plugin::{InstanceView, Operation, Tagged};
use archipel_model::site::Generation;
use archipel_model::{Error, ErrorKind, OrderId};
use futures::FutureExt as _;
use tokio::time::Instant;

use crate::due::Ended;
use crate::engine::Orders;
use crate::observe::moves;
use crate::pace;
use crate::queue::Queue;
use crate::reach::{Access, Failure};
use crate::settings::Settings;
use crate::step::{Memory, Next, Step, Trouble};

/// Pages of one list. Protects from a driver whose cursors never end.
pub(crate) const PAGES: usize = 10_000;
/// Of so many looks at what is being made the last is its own: a driver may bring forward what it makes when it is asked.
const OWN_LOOK: u32 = 8;

/// What one account holds of one kind: what `list-instances` shows.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inventory {
    pub(crate) account: String,
    pub(crate) kind: Kind,
}

impl Inventory {
    /// Where a list would show the order's instance; `None` where only a look of its own will do.
    pub(crate) fn of(order: &Order) -> Option<Arc<Self>> {
        let is_steady = matches!(
            order.state,
            State::Spawning
                | State::Fulfilled
                | State::Paused
                | State::Stopped
                | State::Hibernated
                | State::FailedAfterRequest
        );
        let account = order.local_account.clone()?;
        (is_steady && order.power.is_none() && order.instance.is_some() && order.unreachable.is_none())
            .then(|| Arc::new(Self { account, kind: order.kind }))
    }
}

impl Orders {
    /// Lists an inventory in the place of the looks that are set aside until then.
    pub(crate) async fn poll(self: Arc<Self>, queue: Arc<Queue>, inventory: Arc<Inventory>, until: Instant) {
        let mut ended = Ended::default();
        let list =
            AssertUnwindSafe(self.look_by_list(&queue, &inventory, until, &mut ended)).catch_unwind().await;
        let settings = &self.config.settings;
        ended.not_within = match list {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => {
                let error = failure.error();
                tracing::debug!(cloud = %queue.cloud, kind = %inventory.kind, %error, "no list; looking one by one");
                let wait = match error.kind {
                    ErrorKind::Unsupported => settings.slow_retry_ms,
                    _ => settings.poll_steady_ms,
                };
                Some(pace::respecting(error, pace::about(Settings::ms(wait)), settings))
            }
            Err(_) => {
                tracing::error!(cloud = %queue.cloud, kind = %inventory.kind, "a list panicked; looking one by one");
                self.tally.count().panics += 1;
                Some(Settings::ms(settings.slow_retry_ms))
            }
        };
        let now = Instant::now();
        {
            let mut due = queue.due();
            due.end_list(&inventory, until, ended, now);
            due.free_slot();
        }
        self.tally.polls(&queue.cloud, |polls| {
            polls.lists += 1;
            polls.spared += u64::try_from(ended.spared).unwrap_or(0);
        });
        queue.stir();
    }

    async fn look_by_list(
        &self,
        queue: &Queue,
        inventory: &Inventory,
        until: Instant,
        ended: &mut Ended,
    ) -> Result<(), Failure> {
        let generation = self.site.current();
        let access = Access::new(
            self,
            &generation,
            &queue.cloud,
            inventory.kind,
            &inventory.account,
            Operation::List,
        )?;
        let mut cursor: Option<String> = None;
        let mut shown: Vec<Tagged> = Vec::new();
        loop {
            // A page is compared while the next one is on its way.
            let (page, ()) = tokio::join!(
                access.list(cursor.as_deref()),
                self.compare(queue, &generation, std::mem::take(&mut shown), until, ended)
            );
            let page = page?;
            ended.pages += 1;
            shown = page.items;
            match page.next {
                Some(next) if cursor.as_ref() != Some(&next) && ended.pages < PAGES => cursor = Some(next),
                Some(_) => return Err(Failure::Cloud(endless())),
                None => break,
            }
        }
        self.compare(queue, &generation, shown, until, ended).await;
        Ok(())
    }

    /// Compares what a page shows with the orders whose looks it takes the place of.
    async fn compare(
        &self,
        queue: &Queue,
        generation: &Arc<Generation>,
        shown: Vec<Tagged>,
        until: Instant,
        ended: &mut Ended,
    ) {
        for tagged in &shown {
            let Some(id) = Order::of_tag(&tagged.tag, &self.config.site) else { continue };
            let Some(memory) = queue.due().shown(id, until) else { continue };
            let mut after = memory.clone();
            let mut step =
                Step { orders: self, claim: None, generation: Arc::clone(generation), memory: &mut after };
            let glance = AssertUnwindSafe(step.glance(id, &tagged.instance)).catch_unwind().await;
            let next = match glance {
                Ok(Ok(Some(next))) => {
                    ended.spared += 1;
                    next
                }
                // Its own step says what went wrong, if anything did.
                _ => {
                    ended.differed += 1;
                    after = Memory { inventory: None, ..memory };
                    Next::NOW
                }
            };
            queue.due().finish(id, after, next, Instant::now());
        }
        if !shown.is_empty() {
            queue.stir();
        }
    }
}

impl Step<'_> {
    /// What a list shows of an order's instance. `None`: not what was known, so its own look must tell.
    async fn glance(&mut self, id: OrderId, view: &InstanceView) -> Result<Option<Next>, Trouble> {
        let Some(order) = self.orders.store.get(id).await.map_err(Trouble::Store)? else { return Ok(None) };
        self.memory.version = order.version;
        self.memory.inventory = Inventory::of(&order);
        let is_being_made = order.state == State::Spawning;
        let is_own_turn =
            is_being_made && (self.memory.quiet % OWN_LOOK == OWN_LOOK - 1 || self.deadline_passed(&order));
        let is_as_before = order.missing_since.is_none()
            && order.instance.as_ref().is_some_and(|known| is_the_same(known, view))
            && moves(&order, view.status).is_empty();
        if self.memory.inventory.is_none() || is_own_turn || self.lease_calls(&order) || !is_as_before {
            return Ok(None);
        }
        self.memory.failures = 0;
        let next = self.paced(order.state, view);
        Ok(Some(self.while_it_lives(&order, next)))
    }
}

/// Whether a list shows an instance as it was seen before. What the list does not tell of the allocation is not compared.
fn is_the_same(known: &Instance, view: &InstanceView) -> bool {
    fn agrees<T: PartialEq>(known: Option<T>, shown: Option<T>) -> bool {
        shown.is_none() || known == shown
    }
    known.observed_at.is_some()
        && known.id == view.id
        && known.status == view.status
        && known.cloud_state == view.cloud_state
        && known.addresses == view.addresses
        && agrees(known.allocation.vcpu, view.allocation.vcpu)
        && agrees(known.allocation.ram_mib, view.allocation.ram_mib)
        && agrees(known.allocation.disk_gib, view.allocation.disk_gib)
}

/// The fault of a driver whose lists do not end.
pub(crate) fn endless() -> Error {
    Error::transient("the driver's list of instances has no end; tell its author").code("driver-defect")
}

//! One publisher: reads the log after its place, sends what passes its filter, and moves its place up behind what is
//! sent. It asks nothing of the orders' engine and holds nothing up: a receiver that is away for hours leaves it with
//! one window of events in memory and its place in the log.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::publisher::{PositionStore, PublisherStatus, ReplayFrom};
use archipel_model::{Clock, Error};
use archipel_orders::store::{EventPage, EventQuery, OrderStore, Visible};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cloud_event::Writer;
use crate::config::Begin;
use crate::figures::Figures;
use crate::filter::Filter;
use crate::sender::{Lane, Sender};
use crate::window::{Placed, Window};

/// Events that are read and not sent, at most. Bounds memory; one order that is refused for ever holds one lane, so a
/// thousand such orders stop a publisher.
const WINDOW: usize = 1000;
/// Events read at a time.
const PAGE: usize = 250;
/// Between two writes of the place: what a crash within it makes is a repetition.
const SAVE: Duration = Duration::from_millis(500);
/// What is on its way at the end may still arrive for so long.
const GRACE: Duration = Duration::from_secs(5);

/// What a publisher works with besides its receiver.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) log: Arc<dyn OrderStore>,
    pub(crate) positions: Arc<dyn PositionStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) writer: Writer,
}

/// An administrator's wish.
pub(crate) struct Replay {
    pub(crate) from: ReplayFrom,
    pub(crate) answer: oneshot::Sender<Result<PublisherStatus, Error>>,
}

pub(crate) struct Publisher {
    pub(crate) room: Room,
    pub(crate) filter: Filter,
    pub(crate) sender: Arc<Sender>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) wishes: mpsc::Receiver<Replay>,
    window: Window,
    stored: u64,
    lanes: JoinSet<Lane>,
}

impl Publisher {
    /// At its place, which is made durable where it is new: from then on no event is missed.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub(crate) async fn open(
        room: Room,
        filter: Filter,
        sender: Arc<Sender>,
        figures: Arc<Figures>,
        begin: Begin,
        wishes: mpsc::Receiver<Replay>,
    ) -> Result<Self, Error> {
        let newest = *room.log.watch_events().borrow();
        let place = match room.positions.position(&figures.name).await? {
            Some(place) if place > newest => {
                tracing::warn!(
                    publisher = figures.name,
                    "its place is after the newest event, as after a restore; it goes on with what happens now"
                );
                newest
            }
            Some(place) => place,
            None => {
                let place = match begin {
                    Begin::Now => newest,
                    Begin::Oldest => before_oldest(&*room.log).await?,
                };
                room.positions.set_position(&figures.name, place).await?;
                place
            }
        };
        let window = Window::from(place);
        figures.stands(&window);
        Ok(Self { room, filter, sender, figures, wishes, window, stored: place, lanes: JoinSet::new() })
    }

    /// Until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut grown = self.room.log.watch_events();
        let mut save = interval(SAVE);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut more = true;
        loop {
            while more && self.window.waiting() < WINDOW && !stop.is_cancelled() {
                grown.borrow_and_update();
                match self.read().await {
                    Ok(is_more) => more = is_more,
                    Err(error) => {
                        tracing::warn!(publisher = self.figures.name, %error, "the log cannot be read; trying again");
                        break;
                    }
                }
            }
            self.figures.stands(&self.window);
            tokio::select! {
                () = stop.cancelled() => break,
                wish = self.wishes.recv() => match wish {
                    Some(wish) => {
                        let done = self.replay(wish.from).await;
                        more = true;
                        // Who asked may have gone meanwhile.
                        let _ = wish.answer.send(done);
                    }
                    None => break,
                },
                Some(lane) = self.lanes.join_next() => self.ended(lane),
                changed = grown.changed(), if !more => match changed {
                    Ok(()) => more = true,
                    Err(_) => break,
                },
                _ = save.tick() => self.save().await,
            }
        }
        self.end().await;
    }

    /// One page; says whether there is more.
    async fn read(&mut self) -> Result<bool, Error> {
        let after = self.window.read();
        let page = page(&*self.room.log, after, PAGE).await?;
        if after.saturating_add(1) < page.oldest {
            self.figures.was_reset();
            tracing::error!(
                publisher = self.figures.name,
                "events were forgotten before they were sent (limits.orders.event_retention_s); a reset tells the receiver"
            );
            let event = self.room.writer.reset(page.oldest, self.room.clock.now());
            self.send(Placed { sequence: page.oldest.saturating_sub(1), event });
        }
        for event in &page.items {
            let placed = Placed { sequence: event.sequence, event: self.room.writer.event(event) };
            if self.filter.passes(&placed.event) {
                self.send(placed);
            } else {
                self.window.read_up_to(placed.sequence);
            }
        }
        self.window.read_up_to(page.next);
        Ok(page.more)
    }

    fn send(&mut self, placed: Placed) {
        if let Some(placed) = self.window.take(placed) {
            self.lanes.spawn(Arc::clone(&self.sender).send(placed));
        }
    }

    fn ended(&mut self, lane: Result<Lane, tokio::task::JoinError>) {
        match lane {
            Ok(Lane::Done { sequence, subject }) => {
                if let Some(next) = self.window.done(sequence, subject) {
                    self.lanes.spawn(Arc::clone(&self.sender).send(next));
                }
            }
            Ok(Lane::Stopped) => {}
            Err(error) => {
                tracing::error!(publisher = self.figures.name, %error, "a delivery broke; sending again from the kept place");
                self.lanes.abort_all();
                self.lanes = JoinSet::new();
                self.window = Window::from(self.window.position());
            }
        }
    }

    async fn save(&mut self) {
        let place = self.window.position();
        if place == self.stored {
            return;
        }
        match self.room.positions.set_position(&self.figures.name, place).await {
            Ok(()) => self.stored = place,
            Err(error) => {
                tracing::warn!(publisher = self.figures.name, %error, "its place cannot be written; a restart would repeat events");
            }
        }
    }

    async fn replay(&mut self, from: ReplayFrom) -> Result<PublisherStatus, Error> {
        let log = &*self.room.log;
        let newest = *log.watch_events().borrow();
        let place = match from {
            ReplayFrom::Here => self.window.position(),
            ReplayFrom::Oldest => before_oldest(log).await?,
            ReplayFrom::Now => newest,
            ReplayFrom::After(sequence) => sequence.min(newest),
            ReplayFrom::Time(at) => {
                let mut after = before_oldest(log).await?;
                loop {
                    let page = page(log, after, PAGE).await?;
                    // The first at or after it by place: a clock that was set back repeats more, and forgets nothing.
                    if let Some(first) = page.items.iter().find(|event| event.time >= at) {
                        break first.sequence.saturating_sub(1);
                    }
                    after = page.next;
                    if !page.more {
                        break after;
                    }
                }
            }
        };
        self.room.positions.set_position(&self.figures.name, place).await?;
        self.lanes.shutdown().await;
        self.stored = place;
        self.window = Window::from(place);
        self.sender.pace.open();
        self.figures.stands(&self.window);
        tracing::info!(publisher = self.figures.name, ?from, "sends again");
        Ok(self.figures.status(&self.sender.pace))
    }

    async fn end(mut self) {
        let _ = timeout(GRACE, async {
            while let Some(lane) = self.lanes.join_next().await {
                if let Ok(Lane::Done { sequence, subject }) = lane {
                    self.window.done(sequence, subject);
                }
            }
        })
        .await;
        self.lanes.shutdown().await;
        self.save().await;
        self.sender.receiver.close().await;
    }
}

async fn page(log: &dyn OrderStore, after: u64, limit: usize) -> Result<EventPage, Error> {
    log.events(&EventQuery { visible: Visible::Any, subject: None, after: Some(after), limit }).await
}

/// After what is forgotten.
async fn before_oldest(log: &dyn OrderStore) -> Result<u64, Error> {
    Ok(page(log, 0, 1).await?.oldest.saturating_sub(1))
}

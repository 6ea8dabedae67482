//! The same events as a stream (server-sent events, WHATWG HTML section 9.2), for `Accept: text/event-stream`.
//!
//! | | |
//! |---|---|
//! | begins | after `Last-Event-ID` (or `?cursor=`), across restarts too; without either with what happens from now on |
//! | `id:` | the cursor after that event, good here and for the JSON list |
//! | `event:` | the CloudEvents type; `data:` the event as in the list |
//! | silence | a comment every 15 s, so that proxies and dead peers are found |
//! | ends | within a second of: the session's end or revocation, another generation of the site (its policy may judge anew), the daemon's stop; and for a reader that took nothing for `event_reader_s` |
//!
//! Whoever was cut off comes back with the last `id:` he saw and misses nothing. What a slow reader has not taken is not
//! kept for him: a stream holds one page of events and its place in the log.

use std::time::Duration;

use archipel_model::OrderId;
use archipel_orders::store::{EventQuery, Visible};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderMap, HeaderName, header};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::bound;
use super::places::{Full, Place};
use crate::authenticate::Who;
use crate::problem::{Answer, Problem, table};
use crate::request::Stopping;
use crate::state::App;
use crate::view::event::EventView;

/// Where a reader was cut off.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events read from the store at a time.
const PAGE: usize = 100;
/// Frames that wait for a reader.
const AHEAD: usize = 64;
/// Between two looks at what no one tells: the generation, the end of a session.
const LOOK: Duration = Duration::from_millis(500);
/// Between two comments.
const SILENCE: Duration = Duration::from_secs(15);
/// What a browser is told to wait before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// Whether the client asks for a stream.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|accept| {
        accept
            .split(',')
            .filter_map(|range| range.split(';').next())
            .any(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// One reader's stream.
pub(super) struct Reader {
    pub(super) app: App,
    pub(super) who: Who,
    pub(super) visible: Visible,
    pub(super) subject: Option<OrderId>,
    pub(super) stopping: Stopping,
}

impl Reader {
    /// Begins after the event that `cursor` names, or now.
    ///
    /// # Errors
    /// 400 `bad-cursor`; 429 where there are as many streams as there may be.
    pub(super) fn answer(self, cursor: Option<&str>) -> Answer {
        let place = self.app.event_streams.take(self.who.caller.user.owner()).map_err(|full| {
            let whose = match full {
                Full::Site => "the site has",
                Full::User => "you have",
            };
            Problem::new(
                table::TOO_MANY_REQUESTS,
                format!("{whose} as many event streams as may be; close one, or ask for JSON"),
            )
        })?;
        let newest = *self.app.orders.store().watch_events().borrow();
        let after = match cursor {
            Some(cursor) => bound(&self.app, &self.who, self.subject).event(cursor)?,
            None => newest,
        };
        let (frames, ahead) = mpsc::channel(AHEAD);
        tokio::spawn(self.run(after, frames, place));
        Ok(stream(ReceiverStream::new(ahead)))
    }

    async fn run(self, after: u64, frames: mpsc::Sender<Frame>, place: Place) {
        let why = self.follow(after, &frames).await;
        tracing::debug!(request = %self.who.info.request_id, why, "an event stream ends");
        drop(place);
    }

    /// Sends until the stream ends; says why.
    async fn follow(&self, mut after: u64, frames: &mpsc::Sender<Frame>) -> &'static str {
        let mut grown = self.app.orders.store().watch_events();
        let mut revocations = self.app.identity.revocations();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begin = Event::default().id(self.cursor(after)).retry(RETRY);
        if self.send(frames, begin).await.is_err() {
            return "its reader is gone";
        }
        loop {
            grown.borrow_and_update();
            loop {
                match self.send_page(&mut after, frames).await {
                    Ok(true) if !revocations.has_changed().unwrap_or(true) => {}
                    Ok(_) => break,
                    Err(why) => return why,
                }
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return "the store is closed" },
                changed = revocations.changed() => {
                    if changed.is_err() || self.who.still_holds(&self.app).await.is_err() {
                        return "its session has ended";
                    }
                }
                _ = look.tick() => {
                    if self.who.caller.expires_at.is_some_and(|end| end <= self.app.clock.now()) {
                        return "its session has ended";
                    }
                    if self.app.site.current().number != self.who.caller.generation.number {
                        return "the site has another generation";
                    }
                }
                () = self.stopping.wait() => return "the daemon stops",
                () = frames.closed() => return "its reader is gone",
            }
        }
    }

    /// Sends one page; says whether there is more.
    async fn send_page(&self, after: &mut u64, frames: &mpsc::Sender<Frame>) -> Result<bool, &'static str> {
        let wanted = EventQuery {
            visible: self.visible.clone(),
            subject: self.subject,
            after: Some(*after),
            limit: PAGE,
        };
        let found = self.app.orders.store().events(&wanted).await.map_err(|_| "the store cannot be read")?;
        let (site, keys) = (&self.app.info.id, &self.app.keys);
        if after.saturating_add(1) < found.oldest {
            let reset = EventView::reset(found.oldest, self.app.clock.now(), site, keys);
            self.send(frames, self.frame(&reset, found.oldest.saturating_sub(1))).await?;
        }
        for event in &found.items {
            self.send(frames, self.frame(&EventView::of(event, site, keys), event.sequence)).await?;
        }
        *after = found.next;
        Ok(found.more)
    }

    fn frame(&self, event: &EventView, sequence: u64) -> Event {
        let data = serde_json::to_string(event).unwrap_or_default();
        Event::default().id(self.cursor(sequence)).event(event.kind()).data(data)
    }

    fn cursor(&self, sequence: u64) -> String {
        bound(&self.app, &self.who, self.subject).after_event(sequence)
    }

    async fn send(&self, frames: &mpsc::Sender<Frame>, event: Event) -> Result<(), &'static str> {
        let patience = Instant::now() + Duration::from_secs(self.app.limits.event_reader_s);
        tokio::select! {
            sent = frames.send(Ok(event)) => sent.map_err(|_| "its reader is gone"),
            () = sleep_until(patience) => Err("its reader is too slow"),
            () = self.stopping.wait() => Err("the daemon stops"),
        }
    }
}

type Frame = Result<Event, std::convert::Infallible>;

fn stream(frames: impl Stream<Item = Frame> + Send + 'static) -> Response {
    let mut response = Sse::new(frames).keep_alive(KeepAlive::new().interval(SILENCE)).into_response();
    // Proxies of the nginx kind collect answers otherwise.
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_its_media_type() {
        for (accept, asked) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.5", true),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(is_asked(&headers), asked, "{accept}");
        }
    }
}

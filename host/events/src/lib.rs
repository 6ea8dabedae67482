//! What happened at this site, told to others: publishers of the event log.
//!
//! The log is the outbox: an order's change and its events are one commit (`host/store`), so there is no event without a
//! change and no change without its event. A publisher is a durable place in that log and something to send to. It
//! promises:
//! - **Nothing is lost**, however long the receiver is away: the place moves up only behind what the receiver has.
//!   Where the site's retention forgets events first, an event `org.archipel.stream.reset.v1` says so.
//! - **At least once**: after a crash or a lost answer an event comes again, with the id it had.
//! - **In order per order**: of one order one event is on its way at a time.
//! - **Nobody is held up**: not the orders, not another publisher, and not other orders' events by one that is refused.
//!
//! | file | idea |
//! |---|---|
//! | [`config`], `template`, `filter` | what the site file says |
//! | [`cloud_event`] | an event as it leaves the site |
//! | `publisher`, `window`, `sender`, `gate` | the log's reader; what may go now; one event's way; when to try again |
//! | `webhook`, `signature` | HTTP, signed after Standard Webhooks |
//! | `kafka` | librdkafka |
//! | `publishers`, `figures` | all of them, and what they did |

pub mod cloud_event;
pub mod config;
mod figures;
mod filter;
mod gate;
mod kafka;
mod publisher;
mod publishers;
mod receiver;
mod sender;
mod signature;
mod template;
mod webhook;
mod window;

pub use cloud_event::Writer;
pub use config::EventsConfig;
pub use publishers::{Publishers, Running, Services};

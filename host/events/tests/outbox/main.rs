//! Publishers over a real store, towards a real HTTP server on loopback and librdkafka's mock cluster.
//!
//! What every test compares: each event that was written arrives, of each order in order, and what comes twice has the
//! same id.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as it must be"
)]

mod kafka;
mod receiver;
mod site;
mod webhook;

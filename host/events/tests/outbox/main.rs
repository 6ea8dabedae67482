//! Publishers over a real store, towards a real HTTP server on loopback and librdkafka's mock cluster.
//!
//! What every test compares: each event that was written arrives, of each order in order, and what comes twice has the
//! same id.

mod kafka;
mod receiver;
mod site;
mod webhook;

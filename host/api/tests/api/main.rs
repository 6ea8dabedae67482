//! The REST interface from outside: requests in, answers out, over the real engine, identity and store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::result_large_err,
    unreachable_pub,
    missing_docs,
    reason = "what is wrong in a test is to end it"
)]

mod admin;
mod audit;
mod clouds;
mod collections;
mod conditions;
mod documents;
mod events;
mod failures;
mod idempotency;
mod power;
mod serving;
mod site;
mod streams;
mod sweep;
mod tokens;
mod usage;

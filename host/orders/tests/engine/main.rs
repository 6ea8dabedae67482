//! The engine's rules, each as a test, against a cloud with a ledger and settable faults, in virtual time.

#![expect(unreachable_pub, reason = "the modules of one test program share all they have")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that breaks says where; the hands around the tests are tests too"
)]

mod accept;
mod backlog;
mod breaker;
mod exactly_one;
mod forget;
mod gone;
mod leases;
mod model;
mod polling;
mod powers;
mod queues;
mod restored;
mod soak;
mod support;
mod sweep;
mod unreachable;
mod waiting;

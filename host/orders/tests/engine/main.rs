//! The engine's rules, each as a test, against a cloud with a ledger and settable faults, in virtual time.

#![expect(unreachable_pub, reason = "the modules of one test program share all they have")]

mod accept;
mod exactly_one;
mod gone;
mod model;
mod queues;
mod support;
mod unreachable;
mod waiting;

//! The engine's rules, each as a test, against a cloud with a ledger and settable faults, in virtual time.

mod accept;
mod exactly_one;
mod gone;
mod model;
mod queues;
mod support;
mod unreachable;
mod waiting;

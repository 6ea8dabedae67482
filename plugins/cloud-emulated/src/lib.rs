//! An emulated cloud: a strict little IaaS without machines, for the demo, for tests, and for being killed.
//!
//! It drives nothing; it *is* the cloud, kept in the binding's storage. Each account of the local token has a cloud
//! of its own. Instances become ready, pause, stop, wake and go away by the clock, quotas are real, addresses are unique, what is in use
//! cannot be deleted; and faults can be configured: refusals, lost answers, hanging calls, failed boots, late
//! visibility.
//!
//! Where to read on: `naming.rs` (what is stored under which key), `record.rs` (an instance's life), `creation.rs`
//! and `removal.rs` (why a kill between any two writes is harmless), `ledger.rs` (quotas that stay exact),
//! `claims.rs` (addresses and volumes that only one may hold), `power.rs` (what may be asked of a machine), `faults.rs`,
//! `config.rs`.

mod catalogue;
mod cidr;
mod claims;
mod cloud;
mod config;
mod creation;
mod driver;
mod faults;
mod host;
mod instances;
mod ledger;
mod manifest;
mod naming;
mod plan;
mod power;
mod record;
mod removal;
mod switching;
mod viewing;
mod world;

#[cfg(test)]
mod tests;

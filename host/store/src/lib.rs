//! Everything durable: [`engine`] is what is asked of a database, [`SledEngine`] the first that gives it, and over it
//! the typed collections ([`Store`]) that other crates know by their traits. `keys` says where everything lies.
//!
//! Only this crate names sled.

mod addresses;
mod audit;
mod chain;
mod claims;
mod egress;
pub mod engine;
mod judge;
mod keys;
mod memory;
mod orders;
mod plugin_storage;
mod positions;
mod read_before;
mod record;
mod sessions;
mod sled_engine;
mod store;
#[cfg(test)]
mod suite;
pub mod upkeep;
mod usage;
mod watchers;

pub use engine::{Engine, EngineError, Snapshot};
pub use memory::MemoryEngine;
pub use record::STORE_UNAVAILABLE;
pub use sled_engine::{OpenError, SledEngine, SledOptions, quiet_panics};
pub use store::{SCHEMA, Store, StoreStats};

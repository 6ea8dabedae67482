//! Everything durable: [`engine`] is what is asked of a database, [`SledEngine`] the first that gives it, and over it
//! the typed collections that other crates know by their traits.
//!
//! Only this crate names sled.

pub mod engine;
mod judge;
mod memory;
mod sled_engine;
#[cfg(test)]
mod suite;
mod watchers;

pub use engine::Engine;
pub use memory::MemoryEngine;
pub use sled_engine::{OpenError, SledEngine, SledOptions};

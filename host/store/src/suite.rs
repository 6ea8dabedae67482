//! What every engine and every collection over it must do; each suite runs on all engines.

mod audit;
mod egress;
mod engine;
mod events;
mod idempotency;
mod kill;
mod older;
mod orders;
mod plugins;
mod positions;
mod races;
mod sessions;
mod sled;
mod snapshot;
mod support;
mod upkeep;
mod usage;

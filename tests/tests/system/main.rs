//! Whole-system tests: each starts a daemon of its own, with real components, and talks to it as people do. They run side
//! by side. Build what they need first: `cargo xtask plugins --all && cargo build --bins`, or all of it by `cargo xtask test`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as it must be"
)]

mod aaa_away;
mod authors;
mod bad_files;
mod benchmark;
mod client_certificates;
mod command_line;
mod configuration;
mod corpus;
mod disk;
mod doors;
mod egress;
mod events;
mod evidence;
mod hostile;
mod ledger;
mod life_of_orders;
mod lifecycle;
mod memory_watch;
mod powers;
mod rego_policy;
mod replayed_openstack;
mod scheduler;
mod second_language;
mod shadow;
mod shipped_plugins;
mod store;
mod swap;
mod systemd;
mod telemetry;
mod tls_front;
mod tokens;
mod vault;
mod wire;

//! Whole-system tests: a started daemon, real components, real peers. This library is their harness, and what
//! `cargo xtask demo` and `cargo xtask torture` run on: a temporary [`site::Site`], its [`daemon::Daemon`], and the
//! [`torture`] of both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness stops at the first thing that is not as it must be"
)]

pub mod built;
pub mod cli;
pub mod component;
pub mod daemon;
pub mod far_side;
pub mod memory_watch;
pub mod neighbour;
pub mod openstack;
pub mod orders;
pub mod replayed;
pub mod site;
pub mod telemetry;
pub mod torture;

//! The driver over worlds: scripts for what a healthy cloud does not do, and exchanges recorded from a real OpenStack.
//!
//! `cargo test -p cloud-openstack` replays `tests/exchanges/*.json`. To record them anew from a peer that
//! `tests/peers/openstack` (or `../shared/peers/openstack-up`) has started:
//!
//! ```sh
//! ARCHIPEL_OPENSTACK_PEER=/path/to/peer.json cargo test -p cloud-openstack recorded -- --test-threads=1
//! ```
//!
//! Each scenario then runs against the peer, asserts the same things, and writes its file when it passed. Tokens are in
//! headers, which are not recorded; the passwords that Nova makes for machines are taken out.

mod breaks;
mod catalogue;
mod life;
mod live;
mod powers;
mod refusals;
mod scripted;
mod stage;

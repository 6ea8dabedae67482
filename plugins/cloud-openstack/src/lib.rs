//! Drives an OpenStack cloud: Nova's servers and attachments, Cinder's volumes, Neutron's networks, Glance's images.
//!
//! It never sees a credential. The mapper logs in to Keystone and leaves what the driver must know in the local token's
//! attributes (`account.rs`); the host puts the token into `X-Auth-Token` as a request leaves. What a site grants for
//! that is in `README.md`.
//!
//! Where to read on: `tag.rs` (how an instance says whose it is, and how it is found), `refusal.rs` (what an answer
//! means, and when gone is gone), `compute/server.rs`, `volume.rs`, `network.rs` and `attachment.rs` (each begins with
//! its table of states), `cache.rs` (what is remembered, and why that is safe), `microversion.rs`, `wire.rs` (the seam
//! under which tests replay recorded exchanges).

mod account;
mod attachment;
mod cache;
mod cloud;
mod compute;
mod config;
mod driver;
mod flavors;
mod host;
mod images;
mod manifest;
mod microversion;
mod network;
mod networks;
mod pace;
mod pages;
mod quota;
mod refusal;
mod tag;
mod timestamp;
mod user_data;
mod volume;
mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

//! A made-up package in two versions, which proves how the contract grows: a folder of `wit/` and a module here for each
//! version, for ever. The runtime converts between every older one and [`latest`], and everything else knows the latest alone.
#![allow(missing_docs, reason = "generated; wit/ holds the documentation")]
#![allow(unsafe_code, reason = "generated: bindgen implements wasmtime's unsafe type traits")]
#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated"
)]

pub mod v0_1;
pub mod v0_2;

pub use v0_2 as latest;

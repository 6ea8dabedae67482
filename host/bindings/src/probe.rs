//! A made-up package in two versions, which proves how the contract grows: a folder of `wit/` and a module here for each
//! version, for ever. The runtime converts between every older one and [`latest`], and everything else knows the latest alone.

pub mod v0_1;
pub mod v0_2;

pub use v0_2 as latest;

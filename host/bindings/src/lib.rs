//! What bindgen makes of `wit/`, and nothing else: slow to build, rarely changed.
//!
//! One module per version of the contract; [`latest`] is the newest. A frozen version keeps its module for ever,
//! and the runtime converts between it and the plain types of `archipel-model`.

pub mod handles;
pub mod probe;
pub mod v0_1;

pub use v0_1 as latest;

//! Run a component in the real runtime from cargo test.

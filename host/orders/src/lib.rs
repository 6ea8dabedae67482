//! The order's state machine, the scheduler, the traits of what it stores.

pub mod store;

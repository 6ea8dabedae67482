//! The order's state machine, the scheduler, the traits of what it stores.
//!
//! [`Orders`] is the room's door: `api` calls its methods, `daemon` runs [`Orders::run`]. Inside, data flows one way:
//! a request becomes one durable commit ([`store::OrderStore`]), the commit's event wakes the cloud's queue, a step of
//! that order asks the mapper and the driver, and what they answer becomes the next commit. Every commit is built by
//! [`draft`], which knows the one [`table`] of transitions and writes no other.

pub mod amounts;
mod create;
mod delete;
pub mod engine;
pub mod figures;
mod patch;
pub mod request;
pub mod settings;
pub mod store;

pub use engine::Orders;
pub use figures::{OrderFigures, QueueFigures};
pub use request::{Created, Deletion, IdempotencyRequest, OrderPatch, Requester, WaitFor};
pub use settings::{LimitGroup, LimitRule, LimitUser, OrdersConfig, Settings};

//! The order's state machine, the scheduler, the traits of what it stores.
//!
//! [`Orders`] is the room's door: `api` calls its methods, `daemon` runs [`Orders::run`]. Inside, data flows one way:
//! a request becomes one durable commit ([`store::OrderStore`]), the commit's event wakes the cloud's queue, a step of
//! that order asks the mapper and the driver, and what they answer becomes the next commit. Every commit is built by
//! `draft`, which knows the one [`table`] of transitions and writes no other.
//!
//! | file | what it holds |
//! |---|---|
//! | `create`, `resolve`, `validate`, `limits` | accepting orders |
//! | `patch`, `delete`, `power`, `engine` | the other requests |
//! | `table`, `draft` | what may be written |
//! | `scheduler`, `queue`, `due`, `pace` | when an order is worked on |
//! | `step`, `obtain`, `adopt`, `observe`, `switch`, `close` | what is done then, by state |
//! | `steady` | how long a wait that protects has lasted for certain |
//! | `poll` | many looks by one list |
//! | `sweep` | what the clouds hold that no order has |
//! | `reach`, `tokens`, `breaker` | calls to mappers and drivers |
//! | `amounts`, `usage` | what an order counts for, and what it is metered as |

mod adopt;
pub mod amounts;
mod breaker;
mod close;
mod create;
mod delete;
mod draft;
mod due;
pub mod engine;
pub mod figures;
mod forget;
mod lease;
mod limits;
mod observe;
mod obtain;
mod pace;
mod patch;
mod poll;
mod power;
mod queue;
mod reach;
pub mod request;
mod resolve;
mod scheduler;
pub mod settings;
mod steady;
mod step;
pub mod store;
pub mod sweep;
mod switch;
pub mod table;
mod tokens;
pub mod usage;
mod validate;

pub use engine::Orders;
pub use figures::{BreakerState, OrderFigures, PollFigures, QueueFigures, SweepFigures};
pub use request::{Created, Deletion, IdempotencyRequest, OrderPatch, Requester, WaitFor};
pub use settings::{LimitGroup, LimitRule, LimitUser, OrdersConfig, Settings};

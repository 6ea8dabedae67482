//! Plain types that every room of the host shares, and the traits at which rooms meet. No I/O happens here.
//!
//! Data flows one way: `api` asks `identity` who someone is and what he may do, and `orders` for what he wants;
//! `orders` and `identity` call plugins through the traits of [`plugin`], which `runtime` implements over
//! WebAssembly components, so that nobody else sees a component.

pub mod audit;
pub mod benchmark;
pub mod egress;
pub mod error;
pub mod event;
pub mod fail;
pub mod id;
pub mod order;
pub mod plugin;
pub mod plugin_admin;
pub mod plugin_evidence;
pub mod plugin_shadow;
pub mod plugin_storage;
pub mod power;
pub mod publisher;
pub mod secret;
pub mod site;
pub mod spec;
pub mod time;
pub mod transition;
pub mod user;

/// The target of `tracing` spans that are meant for traces (OpenTelemetry), and for nothing else: the log does not show them, and
/// where no traces are wanted they are switched off at their callsite.
pub const SPAN: &str = "archipel_span";

pub use error::{Applied, Error, ErrorKind, Result};
pub use id::{CloudName, OrderId, SessionId, SiteId};
pub use secret::{LocalToken, SecretBytes};
pub use time::{Clock, SystemClock, Timestamp};
pub use user::{FederationUser, Owner};

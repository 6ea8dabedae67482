//! Everything a component may import, and the state behind one call of it.
//!
//! | file | idea |
//! |---|---|
//! | [`binding`] | what stays the same for all calls of a binding: configuration, grants, the site's services |
//! | [`call`] | what changes from call to call: class, deadline, order; and what a call leaves behind |
//! | [`state`] | the two together with the WASI state: the `T` of every `Store<T>` |
//! | `linker` | which interfaces exist at all |
//! | `stdio`, `clock`, `random` | WASI made virtual |
//! | `config`, `log`, `storage`, `refreshed`, `credentials`, `crypto` | `archipel:host/*`, one file per interface |
//! | `attach`, `sign`, `exchange`, `capture`, `insert` | how secrets get into requests and out of answers |
//! | `reveal` | the one way in which a secret's bytes reach a plugin |
//! | `benchmark` | `archipel:benchmark/*`: orders and measures, in a run alone |
//! | `http`, `masked_body` | `wasi:http` over the binding's own egress channel |
//! | `jwks`, `passwords` | what `crypto` rests on |
//! | `trace` | the last host functions of a call, for evidence |
//! | `remarks` | what the log says of what a plugin was refused, and how often |
//!
//! What always holds: a refusal is a typed error and never a trap; who calls is read from the store, never from an
//! argument; no secret byte enters guest memory; every function ends by the call's deadline.

pub mod binding;
pub mod call;
pub mod state;

mod attach;
pub(crate) mod benchmark;
mod capture;
mod clock;
mod config;
mod credentials;
mod crypto;
mod errors;
mod exchange;
mod http;
mod insert;
mod jwks;
mod linker;
mod log;
mod masked_body;
mod passwords;
mod random;
mod refreshed;
mod remarks;
mod reveal;
mod sign;
mod stdio;
mod storage;
mod trace;

#[cfg(test)]
mod tests;

pub use binding::{BindingContext, Services};
pub use call::{CallClass, CallInfo, CallReport};
pub use crypto::HostCrypto;
pub use linker::{add_scenario_to_linker, add_to_linker};
pub(crate) use log::escape;
pub use random::Randomness;
pub use state::CallState;

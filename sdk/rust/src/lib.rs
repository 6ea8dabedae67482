//! Write Archipel plugins in Rust.
//!
//! A plugin is a WebAssembly component that decides something for a site (who its users are, what they may do, which
//! local account a user becomes) or drives one of its clouds. It runs in a sandbox: it reaches what the site's
//! administrator granted, and a failure costs the call it happened in and nothing else.
//!
//! # A whole plugin
//!
//! ```
//! use archipel_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     group: String,
//! }
//!
//! /// Lets the members of one group do as they like with what is theirs.
//! struct Members;
//!
//! impl Authorization for Members {
//!     fn is_authorized(user: &FederationUser, _: &Resource, _: &Context) -> Result<Decision> {
//!         let Config { group } = config()?;
//!         Ok(match user.is_in(&group) {
//!             true => Decision::allow(Reach::Own),
//!             false => Decision::deny(format!("join the group {group} first")),
//!         })
//!     }
//! }
//!
//! archipel_sdk::export! {
//!     Members: Authorization;
//!     manifest = {
//!         "config_schema": {
//!             "type": "object",
//!             "properties": { "group": { "type": "string" } },
//!             "required": ["group"],
//!         },
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! With `crate-type = ["cdylib"]` in `Cargo.toml`, `cargo build --target wasm32-wasip2` is the whole build, and
//! `cargo test` runs unit tests of pure logic natively. Calls into the host (`config()`, HTTP, storage, credentials)
//! need the sandbox and panic in a native test: parse configurations there with [`config::parse`].
//!
//! # What there is
//!
//! | for | implement | in |
//! |---|---|---|
//! | logging in | [`TokenGenerator`](aaa::TokenGenerator), [`FederationIdentity`](aaa::FederationIdentity), [`Authentication`](aaa::Authentication) | [`aaa`] |
//! | what a user may do | [`Authorization`](aaa::Authorization) | [`aaa`] |
//! | which account a user becomes | [`Mapper`](aaa::Mapper) | [`aaa`] |
//! | driving a cloud | [`Driver`](cloud::Driver) per kind, [`CloudNetworks`](cloud::CloudNetworks) with networks | [`cloud`] |
//! | power actions on machines | [`ComputePower`](cloud::ComputePower) | [`cloud`] |
//! | what a cloud offers | [`Quota`](cloud::Quota), [`Spec`](cloud::Spec), [`Image`](cloud::Image) | [`cloud`] |
//! | measuring a cloud | [`Scenario`](benchmark::Scenario) | [`benchmark`] |
//! | preparation | [`Lifecycle`](lifecycle::Lifecycle) | [`lifecycle`] |
//!
//! and use [`config()`](config::config), [`http`], [`credentials`], [`crypto`], [`storage`], [`clock`], and the
//! macros [`info!`], [`warn!`] and their like.
//!
//! # What to know
//!
//! - **Errors** are [`Error`]s of a closed set of kinds, by `?` from anything. For drivers the important half is
//!   whether the cloud may have acted ([`Applied`]); the HTTP client sets it.
//! - **Secrets are handles.** No password, key or token enters the plugin's memory, and a handle dies with the call.
//! - **AAA calls are fresh**: nothing of one call is there in the next, and storage is read-only.
//! - **Drivers are warm**, one call at a time, several side by side. What is to be remembered about an instance goes
//!   into [`Created::driver_state`](cloud::Created::driver_state), shared counters into [`storage::update`].
//! - **A panic** is logged with its text and fails its call.

pub mod aaa;
pub mod benchmark;
#[doc(hidden)]
pub mod bindings;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod credentials;
pub mod crypto;
mod error;
mod export;
pub mod http;
pub mod lifecycle;
pub mod log;
#[doc(hidden)]
pub mod manifest;
mod panics;
pub mod storage;

pub use config::config;
pub use error::{Applied, Error, ErrorKind, Result};

/// What most plugins use.
pub mod prelude {
    pub use crate::aaa::{
        Authentication, Authorization, Context, Credentials, Decision, FederationIdentity, FederationUser,
        Field, Mapper, Outcome, Owner, Reach, Resource, TokenGenerator, Verdict,
    };
    pub use crate::cloud::{
        Attachment, CloudNetworks, Compute, ComputePower, CreateContext, Created, Driver, Image, Instance,
        Kind, Known, Network, Observed, OrderRef, Page, Quota, Spec, Status, Tagged, Volume,
    };
    pub use crate::config::config;
    pub use crate::credentials::{LocalToken, Secret, UserSession};
    pub use crate::error::{Applied, Error, ErrorKind, Result};
    pub use crate::http;
    pub use crate::lifecycle::{Lifecycle, Refreshed};
}

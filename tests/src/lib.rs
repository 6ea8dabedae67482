//! Whole-system tests: a started daemon, real components, real peers.
//!
//! This library is the harness: it makes a site in a temporary folder, starts the real binary on it and talks to it as
//! any client would. The tests in `tests/`, the demo and the kill test of xtask all stand on it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use archipel_tests::{Site, SiteOptions, orders};
//!
//! let site = Site::make(&SiteOptions::default())?;
//! let daemon = site.start().await?;
//! let alice = daemon.login("alice").await?;
//! let order = orders::create(&alice, "volumes", &serde_json::json!({"size_gib": 1})).await?;
//! orders::fulfilled(&alice, orders::id(&order)?).await?;
//! daemon.stop().await?;
//! # Ok(()) }
//! ```

pub mod daemon;
pub mod orders;
pub mod places;
pub mod site;

pub use daemon::{Daemon, StartOptions};
pub use site::{Site, SiteOptions, User};

//! Measures a cloud: a [`Scenario`] orders, waits and deletes through the [`broker`], as any user would, and says what to
//! measure on the way with [`Span`]s and [`metric`].
//!
//! ```no_run
//! use archipel_sdk::benchmark::{Description, Scenario, Span, broker};
//! use archipel_sdk::prelude::*;
//! use std::time::Duration;
//!
//! struct BootAndDelete;
//!
//! impl Scenario for BootAndDelete {
//!     fn describe() -> Description {
//!         Description::new("boots a machine and deletes it", Duration::from_secs(600)).reports(&["boot", "delete"])
//!     }
//!
//!     fn iterate(_: u32) -> Result<()> {
//!         let order = broker::create("compute", &serde_json::json!({"image": "@debian", "vcpu": 1, "ram_mib": 512}))?;
//!         let boot = Span::begin("boot");
//!         broker::wait(&order.id, &["fulfilled"], Duration::from_secs(300))?;
//!         boot.end();
//!         broker::delete(&order.id)?;
//!         let _gone = Span::begin("delete");
//!         broker::wait(&order.id, &["closed"], Duration::from_secs(300)).map(drop)
//!     }
//! }
//! ```

use crate::bindings::common::archipel::benchmark::measure;
use crate::bindings::common::archipel::host::types::Error as WitError;
use crate::bindings::scenario::exports::archipel::benchmark::scenario as wit;
use crate::error::Result;
use crate::panics::{call, report};
use std::time::Duration;

pub use crate::bindings::common::archipel::benchmark::broker::Order;
pub use wit::Description;

/// Interface `archipel:benchmark/scenario`. It runs in one instance from `setup` to `cleanup`, so what it keeps in statics stays.
/// What it made and did not delete, the host deletes.
pub trait Scenario {
    /// What it is; constant.
    fn describe() -> Description;

    /// Makes what all iterations share.
    ///
    /// # Errors
    /// When there is nothing to measure then; the run ends.
    fn setup() -> Result<()> {
        Ok(())
    }

    /// One iteration, counted from 0.
    ///
    /// # Errors
    /// When it is of no use; the run goes on with the next.
    fn iterate(iteration: u32) -> Result<()>;

    /// Takes away what `setup` made.
    ///
    /// # Errors
    /// When it could not.
    fn cleanup() -> Result<()> {
        Ok(())
    }
}

impl Description {
    /// One iteration, of which each may take so long.
    #[must_use]
    pub fn new(summary: &str, timeout: Duration) -> Self {
        Self {
            summary: summary.to_owned(),
            iterations: 1,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            reports: Vec::new(),
        }
    }

    /// How many iterations make a result worth comparing.
    #[must_use]
    pub fn iterations(mut self, iterations: u32) -> Self {
        self.iterations = iterations;
        self
    }

    /// The names of its spans and metrics.
    #[must_use]
    pub fn reports(mut self, names: &[&str]) -> Self {
        self.reports = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }
}

/// The broker's verbs, against the one cloud of the run.
pub mod broker {
    use super::Order;
    use crate::bindings::common::archipel::benchmark::broker as host;
    use crate::error::{Error, Result};
    use serde::Serialize;
    use std::time::Duration;

    /// Orders something: `spec` is the REST API's, without `cloud`.
    ///
    /// # Errors
    /// As of the REST API.
    pub fn create(kind: &str, spec: &impl Serialize) -> Result<Order> {
        host::create(kind, &serde_json::to_string(spec)?).map_err(Error::from_wit)
    }

    /// Looks at an order of this run.
    ///
    /// # Errors
    /// `not-found` for any other.
    pub fn get(id: &str) -> Result<Order> {
        host::get(id).map_err(Error::from_wit)
    }

    /// Waits until it is in one of these states.
    ///
    /// # Errors
    /// `transient` when it is not by then; `conflict` when it has come to a state that leads to none of them.
    pub fn wait(id: &str, states: &[&str], timeout: Duration) -> Result<Order> {
        let states: Vec<String> = states.iter().map(|state| (*state).to_owned()).collect();
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        host::wait(id, &states, ms).map_err(Error::from_wit)
    }

    /// A power action; accepted is enough.
    ///
    /// # Errors
    /// As of the REST API.
    pub fn act(id: &str, action: &str) -> Result<Order> {
        host::act(id, action).map_err(Error::from_wit)
    }

    /// Deletes an order; accepted is enough.
    ///
    /// # Errors
    /// As of the REST API.
    pub fn delete(id: &str) -> Result<Order> {
        host::delete(id).map_err(Error::from_wit)
    }
}

/// A stretch of time, until [`Span::end`] or until it is dropped. The host's clock times it.
#[derive(Debug)]
pub struct Span(measure::Span);

impl Span {
    /// Begins one. The name is the same in every iteration.
    #[must_use]
    pub fn begin(name: &str) -> Self {
        Self(measure::Span::new(name))
    }

    /// Adds a word for people and programs.
    pub fn attribute(&self, name: &str, value: &str) {
        self.0.attribute(name, value);
    }

    /// Ends it.
    pub fn end(self) {
        self.0.end();
    }
}

/// One figure.
pub fn metric(name: &str, value: f64, unit: &str) {
    measure::metric(name, value, unit);
}

/// What crosses the boundary.
type Answer = std::result::Result<(), WitError>;

impl<T: Scenario> wit::Guest for T {
    fn describe() -> Description {
        report();
        T::describe()
    }

    fn setup() -> Answer {
        call(T::setup)
    }

    fn iterate(iteration: u32) -> Answer {
        call(|| T::iterate(iteration))
    }

    fn cleanup() -> Answer {
        call(T::cleanup)
    }
}

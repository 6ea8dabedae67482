//! Benchmarks as the rest of the system sees them: what a scenario may ask of the broker, and what a run tells.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::order::{Kind, State};
use crate::power::PowerAction;
use crate::{Error, OrderId};

/// An order as a scenario sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOrder {
    /// Its id.
    pub id: OrderId,
    /// Its kind.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Why it failed or stands still.
    pub fault: Option<String>,
    /// What the cloud calls its instance.
    pub instance_id: Option<String>,
    /// IP addresses.
    pub addresses: Vec<String>,
}

/// The broker's verbs, against the one cloud of a run; only orders of the run are seen.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Orders something; `spec` is the body of the REST API's create.
    async fn create(&self, kind: Kind, spec: Map<String, Value>) -> Result<BrokerOrder, Error>;
    /// Looks at an order.
    async fn get(&self, id: OrderId) -> Result<BrokerOrder, Error>;
    /// Waits until it is in one of these states.
    async fn wait(&self, id: OrderId, states: &[State], most: Duration) -> Result<BrokerOrder, Error>;
    /// Asks for a power action.
    async fn act(&self, id: OrderId, action: PowerAction) -> Result<BrokerOrder, Error>;
    /// Begins to delete it.
    async fn delete(&self, id: OrderId) -> Result<BrokerOrder, Error>;
}

/// What a scenario is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScenarioDescription {
    /// For people.
    pub summary: String,
    /// Iterations that make a result worth comparing.
    pub iterations: u32,
    /// What one iteration may take.
    pub timeout_ms: u64,
    /// Names of its spans and metrics.
    pub reports: Vec<String>,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpanRecord {
    /// The same in every iteration.
    pub name: String,
    /// Since the iteration began.
    pub began_us: u64,
    /// How long; none where it never ended.
    pub took_us: Option<u64>,
    /// Words for people and programs.
    pub attributes: Vec<(String, String)>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IterationRecord {
    /// Counted from 0.
    pub iteration: u32,
    /// How long it took.
    pub took_us: u64,
    /// Units of computing, which are the same for the same computation.
    pub fuel: u64,
    /// In the order in which they began.
    pub spans: Vec<SpanRecord>,
    /// In order.
    pub metrics: Vec<MetricRecord>,
    /// Why it is of no use.
    pub error: Option<String>,
}

/// What a scenario told until its end, however that came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScenarioRecord {
    /// What it is; none where it did not come so far.
    pub description: Option<ScenarioDescription>,
    /// Digest of the component.
    pub digest: String,
    /// Those that began.
    pub iterations: Vec<IterationRecord>,
    /// What ended it early: a trap, no more fuel, a deadline, a refusal.
    pub error: Option<String>,
}

//! A benchmark's scenario without a site around it: its orders go wherever its broker sends them.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipel_model::{Clock, SystemClock};
use archipel_runtime::{Compiler, Randomness, RuntimeLimits, ScenarioRun};
use serde_json::{Map, Value};

use crate::bench::WorkbenchError;
use crate::services::{egress, services};

/// A scenario that is ready to run. Of the services it reaches the clock, the log and its configuration; the others are empty.
///
/// # Errors
/// When the machine refuses.
pub async fn scenario(
    config: Map<String, Value>,
    iterations: Option<u32>,
    limits: RuntimeLimits,
    compiler: Compiler,
) -> Result<ScenarioRun, WorkbenchError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let egress = egress(&clock)?;
    let services = services(clock, egress, &BTreeMap::new(), Randomness::default()).await?;
    Ok(ScenarioRun { config, iterations, services, compiler, limits })
}

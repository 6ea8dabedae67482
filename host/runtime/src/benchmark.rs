//! One run of a benchmark's scenario: one instance from `setup` to `cleanup`, in an engine that counts fuel.
//!
//! | | a plugin that serves | a scenario |
//! |---|---|---|
//! | engine | epochs | epochs and fuel: two runs compute the same, and an endless loop ends at the same place |
//! | instance | fresh, or warm for some calls | one for the whole run |
//! | reaches | what is granted | the broker and spans: no network, no storage, no secrets |
//!
//! What it ordered is the broker's to clean up, however the run ended: the instance that knew of it may be gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_bindings::latest::exports::archipel::benchmark::scenario::{Guest, GuestIndices};
use archipel_model::Error;
use archipel_model::benchmark::{Broker, IterationRecord, ScenarioDescription, ScenarioRecord};
use serde_json::{Map, Value};
use wasmtime::component::Linker;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::aot::Trusted;
use crate::compile::Compiler;
use crate::convert;
use crate::engine::{self, Activity};
use crate::explain::SCENARIO;
use crate::failure::Failure;
use crate::grants::EffectiveGrants;
use crate::host::benchmark::Measured;
use crate::host::{BindingContext, CallClass, CallInfo, CallState, Services, add_scenario_to_linker};
use crate::limiter::StoreBounds;
use crate::limits::RuntimeLimits;

/// How a scenario is run.
pub struct ScenarioRun {
    /// Its configuration.
    pub config: Map<String, Value>,
    /// How often; as often as it says where left out.
    pub iterations: Option<u32>,
    /// Clock and log; it reaches nothing else of them.
    pub services: Services,
    /// Who compiles.
    pub compiler: Compiler,
    /// Bounds; `benchmark_fuel` is its own.
    pub limits: RuntimeLimits,
}

impl std::fmt::Debug for ScenarioRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScenarioRun").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl ScenarioRun {
    /// Runs it. What went wrong on the way stands in the record.
    ///
    /// # Errors
    /// Where it did not begin: the file is no scenario, or asks for more than scenarios get.
    pub async fn run(self, wasm: Vec<u8>, broker: Arc<dyn Broker>) -> Result<ScenarioRecord, Error> {
        let refused =
            |error: &dyn std::fmt::Display| Error::invalid(error.to_string()).code("plugin-refused");
        let made = self.compiler.compile_metered(wasm, &self.limits).await;
        let (checked, compiled) = made.map_err(|refusal| refused(&refusal))?;
        if !checked.exports(SCENARIO) {
            return Err(refused(&format!("it is no benchmark: it does not export {SCENARIO}")));
        }
        let in_words = |error: wasmtime::Error| refused(&format!("{error:#}"));
        let engine = engine::metered(&self.limits).map_err(in_words)?;
        engine::start_ticker(&engine, Activity::default()).map_err(|error| refused(&error))?;
        let component =
            Trusted::from_own_compiler(compiled).load(&engine).map_err(|refusal| refused(&refusal))?;
        let mut linker = Linker::new(&engine);
        add_scenario_to_linker(&mut linker).map_err(in_words)?;
        let pre = linker.instantiate_pre(&component).map_err(in_words)?;
        let indices = GuestIndices::new(&pre).map_err(in_words)?;

        let mut record = ScenarioRecord { digest: checked.digest.clone(), ..ScenarioRecord::default() };
        let mut running = Running {
            store: self.store(&engine, &checked.digest, broker),
            fuel: self.limits.benchmark_fuel,
            timeout: self.limits.lifecycle_deadline(),
        };
        let begun = running.bounded(async |store| {
            let instance = pre.instantiate_async(&mut *store).await?;
            indices.load(&mut *store, &instance)
        });
        match begun.await {
            Ok(guest) => {
                if let Err(error) = running.go(&guest, self.iterations, &mut record).await {
                    record.error = Some(error);
                }
            }
            Err(error) => record.error = Some(error),
        }
        // What it logged is told.
        running.store.data_mut().end_call();
        Ok(record)
    }

    fn store(&self, engine: &Engine, digest: &str, broker: Arc<dyn Broker>) -> Store<CallState> {
        let context = BindingContext::new(
            "benchmark",
            "benchmark",
            digest,
            Value::Object(self.config.clone()).to_string(),
            EffectiveGrants::default(),
            self.services.clone(),
        );
        let info = CallInfo {
            class: CallClass::Benchmark,
            function: "scenario",
            request_id: "benchmark".to_owned(),
            order: None,
            deadline: Instant::now(),
        };
        let bounds = StoreBounds::from(&self.limits);
        let mut state = CallState::new(Arc::new(context), info, bounds);
        state.measured = Some(Measured::new(broker));
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_max_component_handles(bounds.handles);
        store.set_hostcall_fuel(bounds.hostcall_bytes);
        store.set_epoch_deadline(2);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        store
    }
}

/// A scenario's instance.
struct Running {
    store: Store<CallState>,
    fuel: u64,
    timeout: Duration,
}

impl Running {
    /// Everything from the description to the cleanup; an error is what ended it early.
    async fn go(
        &mut self,
        guest: &Guest,
        iterations: Option<u32>,
        record: &mut ScenarioRecord,
    ) -> Result<(), String> {
        let told = self.bounded(async |store| guest.call_describe(store).await).await?;
        let description = ScenarioDescription {
            summary: convert::message(&told.summary, 1024),
            iterations: told.iterations.clamp(1, 10_000),
            timeout_ms: told.timeout_ms.clamp(1, 24 * 3_600_000),
            reports: told.reports.iter().take(64).map(|name| convert::message(name, 256)).collect(),
        };
        self.timeout = Duration::from_millis(description.timeout_ms);
        let count = iterations.unwrap_or(description.iterations);
        record.description = Some(description);
        self.bounded(async |store| guest.call_setup(store).await)
            .await?
            .map_err(|error| format!("setup: {}", convert::error(error)))?;
        for iteration in 0..count {
            if let Some(measured) = &mut self.store.data_mut().measured {
                measured.begin();
            }
            let began = Instant::now();
            let ended = self.bounded(async |store| guest.call_iterate(store, iteration).await).await;
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let measured = self.store.data_mut().measured.as_mut();
            let (spans, metrics) = measured.map(Measured::take).unwrap_or_default();
            let fuel = self.fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
            let error = match &ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(convert::error(error.clone()).to_string()),
                Err(broke) => Some(broke.clone()),
            };
            record.iterations.push(IterationRecord { iteration, took_us, fuel, spans, metrics, error });
            // After a trap there is no instance to go on with.
            ended?.ok();
        }
        self.bounded(async |store| guest.call_cleanup(store).await)
            .await?
            .map_err(|error| format!("cleanup: {}", convert::error(error)))
    }

    /// One call with fuel and a deadline of its own; an error is a trap, no more fuel, or no more time.
    async fn bounded<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Store<CallState>) -> wasmtime::Result<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + self.timeout;
        self.store.data_mut().call.deadline = deadline;
        self.store.set_fuel(self.fuel).map_err(|error| format!("{error:#}"))?;
        match tokio::time::timeout_at(deadline.into(), call(&mut self.store)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let failure = Failure::of(&error, self.store.data().limits.was_refused());
                Err(format!("{}: {}", failure.outcome().as_str(), failure.detail()))
            }
            Err(_) => Err(format!("deadline: it took more than {} ms", self.timeout.as_millis())),
        }
    }
}

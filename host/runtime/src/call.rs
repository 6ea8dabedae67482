//! One call into a plugin, from the caller's thread to the plugin's and back.
//!
//! | | AAA | drivers | life cycle |
//! |---|---|---|---|
//! | instance | fresh for every call: nothing of one user is there in the next call | warm, one call at a time | fresh |
//! | thread | the caller's for a moment ([`threads`]), then the plugins' | the plugins' | the plugins' |
//! | slots | reserved | shared by all clouds | eight |
//! | deadline | 250 ms; 5 s with hosts and for logins | 60 s | 30 s |
//!
//! What always holds: the clock starts when the caller asks, so waiting for a slot is bounded too; after a failure the
//! store is dropped; what the plugin stored is durable before anyone sees its answer.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use archipel_bindings::latest::exports::archipel::plugin::lifecycle::File;
use archipel_model::{Error, OrderId, SPAN};
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout_at;
use tracing::Instrument;
use tracing::field::Empty;
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use crate::convert;
use crate::evidence::{Broken, Left};
use crate::exports::Exports;
use crate::failure::{Failure, Outcome};
use crate::figures::Figures;
use crate::host::{BindingContext, CallClass, CallInfo, CallState};
use crate::image::{Image, Starts};
use crate::limiter::StoreBounds;
use crate::limits::to_usize;
use crate::machine::Machine;
use crate::manifest::Manifest;
use crate::refusal::Refusal;
use crate::shadow::ShadowReport;
use crate::signatures::Signed;
use crate::supervise::Supervisor;
use crate::threads::{self, Lost, Pace};
use crate::warm::{Warm, WarmPool};

/// One version of a plugin, compiled and checked.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) manifest: Manifest,
    pub(crate) interfaces: Vec<String>,
    /// As it is, without a preparation; made when it is wanted where the plugin has one.
    pub(crate) plain: OnceCell<Arc<Image>>,
    /// Its bytes, where each configuration makes an image of them.
    pub(crate) wasm: Option<Arc<[u8]>>,
    pub(crate) supervisor: Supervisor,
    pub(crate) figures: Arc<Figures>,
    pub(crate) starts: Starts,
    /// What its signature came to, under the keys of the time when it was read.
    pub(crate) signed: ArcSwap<Signed>,
    /// What came of its time in another's shadow, where it had one.
    pub(crate) shadow: Arc<ShadowReport>,
}

/// A plugin with its configuration and grants under a name.
pub(crate) struct Binding {
    pub(crate) context: Arc<BindingContext>,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) image: Arc<Image>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) files: Vec<File>,
    pub(crate) concurrency: usize,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) pace: Pace,
    pub(crate) warm: WarmPool,
}

/// An instance in the middle of a call.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a mut Store<CallState>,
    pub(crate) instance: &'a Instance,
    pub(crate) exports: &'a Exports,
}

/// The answer with the bytes of linear memory that the instance has, or why there is none.
pub(crate) type Ended<R> = Result<(R, usize), (Failure, Left)>;

/// What a job answers: wasmtime's own error is a trap, the inner one the plugin's.
pub(crate) type Answer<R> = wasmtime::Result<Result<R, Error>>;

/// What a job does with an instance. It owns its arguments, because it may run on the plugins' threads.
pub(crate) trait Job<R>:
    for<'a> FnOnce(Call<'a>) -> BoxFuture<'a, Answer<R>> + Send + 'static
{
}
impl<R, F> Job<R> for F where F: for<'a> FnOnce(Call<'a>) -> BoxFuture<'a, Answer<R>> + Send + 'static {}

impl Binding {
    /// Calls an AAA function.
    pub(crate) async fn aaa<R: Send + 'static>(
        self: &Arc<Self>,
        function: &'static str,
        request_id: &str,
        job: impl Job<R>,
    ) -> Result<R, Error> {
        // Logins hash passwords, and that is made to be slow.
        let may_be_slow =
            !self.context.grants.egress.hosts.is_empty() || function.starts_with("token-generator.");
        let deadline = Instant::now() + self.machine.limits.aaa_deadline(may_be_slow);
        let info = CallInfo {
            class: CallClass::Aaa,
            function,
            request_id: request_id.to_owned(),
            order: None,
            deadline,
        };
        self.run(info, job).await
    }

    /// Calls a driver's function.
    pub(crate) async fn driver<R: Send + 'static>(
        self: &Arc<Self>,
        function: &'static str,
        order: Option<OrderId>,
        job: impl Job<R>,
    ) -> Result<R, Error> {
        let deadline = Instant::now() + self.machine.limits.driver_deadline();
        let request_id = order.map_or_else(String::new, |order| order.to_string());
        self.run(CallInfo { class: CallClass::Driver, function, request_id, order, deadline }, job).await
    }

    /// Calls a function of the life cycle.
    pub(crate) async fn lifecycle<R: Send + 'static>(
        self: &Arc<Self>,
        function: &'static str,
        job: impl Job<R>,
    ) -> Result<R, Error> {
        let deadline = Instant::now() + self.machine.limits.lifecycle_deadline();
        let info = CallInfo {
            class: CallClass::Lifecycle,
            function,
            request_id: "lifecycle".to_owned(),
            order: None,
            deadline,
        };
        self.run(info, job).await
    }

    /// Instantiates once and loads every export, before the binding serves anyone.
    pub(crate) async fn trial(self: &Arc<Self>) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.machine.limits.lifecycle_deadline();
        let info = CallInfo {
            class: CallClass::Lifecycle,
            function: "trial",
            request_id: "trial".to_owned(),
            order: None,
            deadline,
        };
        let this = Arc::clone(self);
        let task = self.machine.threads.spawn(async move {
            this.in_fresh(info, |call: Call<'_>| -> BoxFuture<'_, Answer<()>> {
                Box::pin(async move {
                    let loaded = call.exports.load_all(&mut *call.store, call.instance);
                    Ok(loaded.map_err(|error| Error::invalid(format!("{error:#}")).code("contract")))
                })
            })
            .await
        });
        match task.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((Failure::Typed(error), _))) if error.has_code("contract") => {
                Err(Refusal::Contract(error.message))
            }
            Ok(Err((failure, left))) => {
                let kind = failure.outcome().as_str();
                Err(Refusal::Trial(format!("{kind}: {} {}", failure.detail(), left.stderr).trim().to_owned()))
            }
            Err(error) => Err(Refusal::Trial(error.to_string())),
        }
    }

    async fn run<R: Send + 'static>(self: &Arc<Self>, info: CallInfo, job: impl Job<R>) -> Result<R, Error> {
        let (class, function) = (info.class, info.function);
        let started = Instant::now();
        self.machine.activity.note();
        if let Some((reason, remaining)) = self.plugin.supervisor.refusal(started) {
            self.plugin.figures.note(function, Outcome::Refused, started.elapsed(), 0);
            return Err(crate::away::quarantined(&self.plugin.name, function, &reason, remaining));
        }
        let span = tracing::info_span!(
            target: SPAN, "plugin call", "otel.name" = function, "otel.status_code" = Empty,
            "archipel.plugin.name" = self.plugin.name, "archipel.plugin.digest" = self.plugin.digest,
            "archipel.binding" = %self.context.name, "archipel.outcome" = Empty,
        );
        let this = Arc::clone(self);
        let work = async move {
            let about = info.clone();
            let result = match class {
                CallClass::Driver => this.in_warm(info, job).await,
                _ => this.in_fresh(info, job).await,
            };
            this.judge(&about, started, result)
        }
        .instrument(span);
        let threads = &self.machine.threads;
        let done = match class {
            CallClass::Aaa if self.machine.activity.is_awake() => {
                threads::begin_here(threads, &self.pace, work).await
            }
            _ => threads::run(threads, work).await,
        };
        done.unwrap_or_else(|Lost(error)| {
            tracing::error!(plugin = %self.plugin.name, function, %error, "a call panicked in the host");
            Err(Error::internal(format!("calling plugin {} failed", self.plugin.name)))
        })
    }

    async fn in_fresh<R>(&self, info: CallInfo, job: impl Job<R>) -> Ended<R> {
        let slots = match info.class {
            CallClass::Aaa => &self.machine.aaa_slots,
            _ => &self.machine.lifecycle_slots,
        };
        let _gate = self.wait(&self.gate, info.deadline).await?;
        let _slot = self.wait(slots, info.deadline).await?;
        let mut store = self.store(info.clone());
        let pulse = store.data().pulse.clone();
        let work = async {
            let instance = self.instantiate(&mut store, &info).await?;
            job(Call { store: &mut store, instance: &instance, exports: &self.image.exports }).await
        };
        let result = timeout_at(info.deadline.into(), pulse.watch(work)).await;
        let result = sort(result, &store);
        self.end(&mut store, 1, result).await
    }

    async fn in_warm<R>(&self, info: CallInfo, job: impl Job<R>) -> Ended<R> {
        let _gate = self.wait(&self.gate, info.deadline).await?;
        let deadline = info.deadline;
        let mut warm = match self.warm.take() {
            Some(mut warm) => {
                warm.store.data_mut().begin_call(info);
                warm
            }
            None => {
                let slot = self.wait(&self.machine.driver_slots, deadline).await?;
                let mut store = self.store(info.clone());
                let pulse = store.data().pulse.clone();
                let work = pulse.watch(self.instantiate(&mut store, &info));
                let made = timeout_at(deadline.into(), work).await;
                match sort(made.map(|instance| instance.map(Ok)), &store) {
                    Ok(Ok(instance)) => Warm { store, instance, calls: 0, born: Instant::now(), _slot: slot },
                    Ok(Err(error)) => return self.end(&mut store, 1, Ok(Err(error))).await,
                    Err(failure) => return self.end(&mut store, 1, Err(failure)).await,
                }
            }
        };
        warm.calls = warm.calls.saturating_add(1);
        self.prepare(&mut warm.store);
        let pulse = warm.store.data().pulse.clone();
        let work =
            job(Call { store: &mut warm.store, instance: &warm.instance, exports: &self.image.exports });
        let result = timeout_at(deadline.into(), pulse.watch(work)).await;
        let result = sort(result, &warm.store);
        let sound = result.is_ok();
        let result = self.end(&mut warm.store, warm.calls, result).await;
        if sound {
            self.warm.give_back(warm);
        }
        result
    }

    async fn wait(
        &self,
        semaphore: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, (Failure, Left)> {
        if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
            return Ok(permit);
        }
        match timeout_at(deadline.into(), Arc::clone(semaphore).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err((Failure::Busy, Left::default())),
        }
    }

    /// A store for this binding, bounded in every way there is.
    fn store(&self, info: CallInfo) -> Store<CallState> {
        let bounds = StoreBounds::from(&self.machine.limits);
        let mut store =
            Store::new(&self.machine.engine, CallState::new(Arc::clone(&self.context), info, bounds));
        store.limiter(|state| &mut state.limits);
        if self.machine.memory_watch.is_some() {
            store.data_mut().keep_seen();
        }
        store.set_max_component_handles(bounds.handles);
        self.prepare(&mut store);
        store
    }

    fn prepare(&self, store: &mut Store<CallState>) {
        store.set_hostcall_fuel(to_usize(self.machine.limits.hostcall_kib.saturating_mul(1 << 10)));
        // The next tick may be microseconds away: a call that takes less than a whole one should meet none.
        store.set_epoch_deadline(2);
        store.epoch_deadline_callback(|store| {
            store.data().pulse.tick();
            Ok(UpdateDeadline::Yield(1))
        });
    }

    /// An instance, prepared by `lifecycle.init` where the plugin has one: from its snapshot, or here and now.
    async fn instantiate(&self, store: &mut Store<CallState>, info: &CallInfo) -> wasmtime::Result<Instance> {
        let instance = self.image.pre.instantiate_async(&mut *store).await?;
        if let Some(indices) = self.image.exports.lifecycle.as_ref().filter(|_| self.image.prepares_itself())
        {
            let guest = indices.load(&mut *store, &instance)?;
            store.data_mut().begin_call(CallInfo {
                class: CallClass::Init,
                function: "lifecycle.init",
                ..info.clone()
            });
            let answer = guest.call_init(&mut *store, &self.files).await?;
            store.data_mut().end_call();
            answer.map_err(|error| {
                let error = convert::error(error);
                wasmtime::format_err!("lifecycle.init refused: {}", error.message)
            })?;
            store.data_mut().begin_call(info.clone());
        }
        Ok(instance)
    }

    /// Ends the call, which is the instance's `number`th, and makes durable what it stored before its answer is given to
    /// anyone.
    async fn end<R>(
        &self,
        store: &mut Store<CallState>,
        number: u64,
        result: Result<Result<R, Error>, Failure>,
    ) -> Ended<R> {
        if let Some(watch) = &self.machine.memory_watch {
            let (seen, function) = (store.data_mut().take_seen(), store.data().call().function);
            watch.search(&self.plugin.name, function, &seen);
        }
        let state = store.data_mut();
        let is_broken = result.as_ref().is_err_and(|failure| failure.outcome().is_broken());
        let masker = if is_broken { state.masker() } else { None };
        let report = state.end_call();
        let memory_bytes = state.limits.memory_used();
        let broken = is_broken.then(|| Broken::new(masker, &report, state.limits.curve(), number));
        let left = Left { stderr: report.stderr_tail, memory_bytes, broken };
        if report.storage_written
            && let Err(error) = self.context.services.storage.flush().await
        {
            let error = Error::transient(format!(
                "what plugin {} stored could not be kept: {error}",
                self.plugin.name
            ))
            .applied(archipel_model::Applied::Unknown);
            return Err((Failure::Typed(error), Left { broken: None, ..left }));
        }
        match result {
            Ok(Ok(answer)) => Ok((answer, memory_bytes)),
            Ok(Err(error)) => Err((Failure::Typed(error), left)),
            Err(failure) => Err((failure, left)),
        }
    }
}

/// Sorts what came of a call with a deadline. A plugin that computes yields at every tick, so the timer is looked at.
fn sort<R>(
    result: Result<Answer<R>, Elapsed>,
    store: &Store<CallState>,
) -> Result<Result<R, Error>, Failure> {
    match result {
        Err(_) => Err(Failure::Deadline { computing: store.data().pulse.is_computing() }),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::of(&error, store.data().limits.was_refused())),
    }
}

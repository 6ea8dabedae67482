//! `lifecycle.init`, run once in the compile process, and the component with its memory as that leaves it.
//!
//! ```text
//! component ─ wizer ─▶ the same with its state exported ─ compile, start, init ─▶ state ─ wizer ─▶ prepared component
//! ```
//! Every call of the prepared component starts from that memory: nothing of one call is there in the next, and nothing
//! is prepared twice. What `init` may use is little, so that its memory means the same at any time: configuration, files
//! and the log. The clock stands still, randomness traps, and nothing else of the site is there.
//!
//! Not every component can be kept. Where something of it lies outside its memory (a handle, a table that changed), or
//! where its memory holds what must differ from call to call (a hash seed), it starts plainly and runs `init` in every
//! instance: slower, and as right. The reason is told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_bindings::latest::exports::archipel::plugin::lifecycle::{File, GuestIndices};
use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_model::audit::{AuditRecord, AuditSink};
use archipel_model::plugin_storage::PluginStorage;
use archipel_model::{Clock, Error, SiteId, Timestamp};
use archipel_vault::{Keys, Vault};
use async_trait::async_trait;
use futures::FutureExt;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, WasmList};
use wasmtime::{Engine, Store};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::convert;
use crate::engine;
use crate::grants::EffectiveGrants;
use crate::host::{BindingContext, CallClass, CallInfo, CallState, HostCrypto, Services, add_to_linker};
use crate::job::Preparation;
use crate::limiter::StoreBounds;
use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;

/// What wizer reads state through: pages of memory that it adds to an instance for that.
const READING: usize = 1 << 20;

/// What came of a preparation.
pub(crate) enum Prepared {
    /// A component that starts with its memory prepared, and the last lines that were logged.
    Snapshot { wasm: Vec<u8>, log: Vec<String> },
    /// It has to prepare itself in every instance.
    Plain {
        /// Why.
        because: String,
    },
}

/// Runs `lifecycle.init` and keeps what it leaves.
///
/// # Errors
/// `init` says no, or does not end: then it would in every call.
pub(crate) fn prepare(
    wasm: &[u8],
    preparation: &Preparation,
    limits: &RuntimeLimits,
) -> Result<Prepared, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Refusal::Compile(error.to_string()))?;
    let work = AssertUnwindSafe(run(wasm, preparation, limits)).catch_unwind();
    match runtime.block_on(work) {
        Ok(Ok(prepared)) => Ok(prepared),
        Ok(Err(Stop::Plain(because))) => Ok(Prepared::Plain { because }),
        Ok(Err(Stop::Refused(refusal))) => Err(refusal),
        // Wizer is written for tools of authors, and panics where it does not know its way.
        Err(_) => Ok(Prepared::Plain { because: "no snapshot can be made of such a component".to_owned() }),
    }
}

/// Why there is no snapshot.
enum Stop {
    Plain(String),
    Refused(Refusal),
}

impl Stop {
    fn plain(what: &str) -> impl Fn(wasmtime::Error) -> Self + '_ {
        move |error| {
            let text = format!("{error:#}");
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            Self::Plain(format!("{what}: {text}"))
        }
    }
}

async fn run(wasm: &[u8], preparation: &Preparation, limits: &RuntimeLimits) -> Result<Prepared, Stop> {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let (parsed, instrumented) = wizer.instrument_component(wasm).map_err(Stop::plain("no snapshot"))?;
    let engine = engine::preparing(limits).map_err(Stop::plain("no engine"))?;
    let component = Component::from_binary(&engine, &instrumented).map_err(Stop::plain("no snapshot"))?;
    drop(instrumented);
    let mut state = State { store: store(&engine, preparation, limits)?, instance: None, failed: None };
    let log = state.init(&engine, &component, preparation, limits).await?;
    if state.store.data().random.gave_seed() {
        return Err(Stop::Plain(
            "its init uses a hash seed, which must differ from call to call; use ordered maps there"
                .to_owned(),
        ));
    }
    if state.store.data().holds_handles() {
        return Err(Stop::Plain(
            "its init keeps a handle of the host, e.g. of its standard output; log through archipel:host/log"
                .to_owned(),
        ));
    }
    let snapshot = wizer.snapshot_component(&parsed, &mut state).await.map_err(Stop::plain("no snapshot"))?;
    match state.failed {
        None => Ok(Prepared::Snapshot { wasm: snapshot, log }),
        Some(failed) => Err(Stop::Plain(format!("its memory cannot be read: {failed}"))),
    }
}

/// A store of `lifecycle.init`, bounded as every other.
fn store(
    engine: &Engine,
    preparation: &Preparation,
    limits: &RuntimeLimits,
) -> Result<Store<CallState>, Stop> {
    let context = context(preparation).map_err(Stop::Plain)?;
    let mut bounds = StoreBounds::from(limits);
    bounds.memory_bytes = bounds.memory_bytes.saturating_add(READING);
    let info = CallInfo {
        class: CallClass::Init,
        function: "lifecycle.init",
        request_id: "lifecycle".to_owned(),
        order: None,
        deadline: Instant::now() + limits.lifecycle_deadline(),
    };
    let mut store = Store::new(engine, CallState::new(Arc::new(context), info, bounds));
    store.limiter(|state| &mut state.limits);
    store.set_max_component_handles(bounds.handles);
    store.set_hostcall_fuel(bounds.hostcall_bytes);
    // One tick is the end: see `watch`.
    store.set_epoch_deadline(1);
    store.epoch_deadline_trap();
    Ok(store)
}

/// The instrumented instance, for wizer.
struct State {
    store: Store<CallState>,
    instance: Option<Instance>,
    failed: Option<String>,
}

impl State {
    /// Starts the component and runs its `init`; says what it logged.
    async fn init(
        &mut self,
        engine: &Engine,
        component: &Component,
        preparation: &Preparation,
        limits: &RuntimeLimits,
    ) -> Result<Vec<String>, Stop> {
        let mut linker = Linker::new(engine);
        add_to_linker(&mut linker).map_err(Stop::plain("no linker"))?;
        let pre = linker.instantiate_pre(component).map_err(Stop::plain("no snapshot"))?;
        let indices = GuestIndices::new(&pre).map_err(Stop::plain("no snapshot"))?;
        let files: Vec<File> = preparation
            .files
            .iter()
            .map(|(path, contents)| File { path: path.clone(), contents: contents.clone() })
            .collect();
        let deadline = limits.lifecycle_deadline();
        watch(engine, deadline).map_err(|error| Stop::Plain(error.to_string()))?;
        let store = &mut self.store;
        let work = async {
            let instance = pre.instantiate_async(&mut *store).await?;
            let guest = indices.load(&mut *store, &instance)?;
            let answer = guest.call_init(&mut *store, &files).await?;
            Ok::<_, wasmtime::Error>((instance, answer))
        };
        let late = || {
            Stop::Refused(Refusal::Trial(format!(
                "lifecycle.init did not end within {} ms",
                deadline.as_millis()
            )))
        };
        let (instance, answer) = match tokio::time::timeout(deadline, work).await {
            Err(_) => return Err(late()),
            Ok(Err(error)) if error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::Interrupt) => {
                return Err(late());
            }
            Ok(Err(error)) => return Err(Stop::plain("its init failed")(error)),
            Ok(Ok(done)) => done,
        };
        answer.map_err(|error| {
            Stop::Refused(Refusal::Trial(format!(
                "lifecycle.init refused: {}",
                convert::error(error).message
            )))
        })?;
        // What is read from here on is read by us.
        self.store.set_epoch_deadline(u64::MAX / 2);
        self.instance = Some(instance);
        Ok(self.store.data_mut().end_call().log_tail)
    }

    async fn read<R, T>(
        &mut self,
        of: &str,
        function: &str,
        with: impl FnOnce(&Store<CallState>, R) -> T,
    ) -> Option<T>
    where
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        match self.call(of, function).await {
            Ok(value) => Some(with(&self.store, value)),
            Err(error) => {
                self.failed.get_or_insert_with(|| format!("{error:#}"));
                None
            }
        }
    }

    async fn call<R>(&mut self, of: &str, function: &str) -> wasmtime::Result<R>
    where
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let gone = || wasmtime::format_err!("{of} has no {function}");
        let instance = self.instance.ok_or_else(gone)?;
        let (_, of_index) = instance.get_export(&mut self.store, None, of).ok_or_else(gone)?;
        let (_, index) = instance.get_export(&mut self.store, Some(&of_index), function).ok_or_else(gone)?;
        let function = instance.get_typed_func::<(), (R,)>(&mut self.store, index)?;
        Ok(function.call_async(&mut self.store, ()).await?.0)
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        // Wizer counts what it is told: it has to be told something.
        let told = match self.call::<WasmList<u8>>(instance, func).await {
            Ok(list) => {
                contents(list.as_le_slice(&self.store));
                return;
            }
            Err(error) => format!("{error:#}"),
        };
        self.failed.get_or_insert(told);
        contents(&[]);
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func, |_, value| value).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func, |_, value| value).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read(instance, func, |_, value: f32| value.to_bits()).await.unwrap_or_default()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read(instance, func, |_, value: f64| value.to_bits()).await.unwrap_or_default()
    }
}

/// Ends an `init` that computes without end.
fn watch(engine: &Engine, deadline: Duration) -> std::io::Result<()> {
    let weak = engine.weak();
    std::thread::Builder::new().name("archipel-init".to_owned()).spawn(move || {
        std::thread::sleep(deadline);
        if let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
        }
    })?;
    Ok(())
}

/// A binding with nothing of the site behind it.
fn context(preparation: &Preparation) -> Result<BindingContext, String> {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let tls = archipel_egress::tls::trusting_nobody().map_err(|error| error.to_string())?;
    let services = Services {
        storage: Arc::new(NoStorage),
        vault: Arc::new(Vault::default()),
        egress: Arc::new(Egress::new(tls, RingLedger::new(1), Arc::clone(&clock), EgressLimits::default())),
        crypto: Arc::new(HostCrypto::new(Arc::new(Keys::from_master([0; 32])))),
        audit: Arc::new(NoAudit),
        clock,
        randomness: crate::host::Randomness::default(),
        site: "nowhere.invalid".parse::<SiteId>().map_err(|error| error.to_string())?,
    };
    let (binding, config) = (preparation.binding.as_str(), preparation.config.as_str());
    Ok(BindingContext::new(binding, binding, "", config, EffectiveGrants::default(), services))
}

/// A clock that does not move: what `init` reads off it would be as old as its memory.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

/// Never told: nothing is revealed in `lifecycle.init`.
struct NoAudit;

#[async_trait]
impl AuditSink for NoAudit {
    async fn tell(&self, _: &AuditRecord) -> Result<(), Error> {
        Err(Error::forbidden("lifecycle.init has no audit"))
    }
}

/// Never asked: `lifecycle.init` has no storage ([`CallClass::may_read`]).
struct NoStorage;

fn none() -> Error {
    Error::forbidden("lifecycle.init has no storage")
}

#[async_trait]
impl PluginStorage for NoStorage {
    async fn get(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, Error> {
        Err(none())
    }

    async fn set(&self, _: &str, _: &str, _: Option<Vec<u8>>, _: u64) -> Result<(), Error> {
        Err(none())
    }

    async fn compare_and_swap(
        &self,
        _: &str,
        _: &str,
        _: Option<Vec<u8>>,
        _: Option<Vec<u8>>,
        _: u64,
    ) -> Result<bool, Error> {
        Err(none())
    }

    async fn list_keys(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        Err(none())
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

//! The one place that configures wasmtime.
//!
//! Two engines are made of one [`Config`]: the pooled one that runs plugins, and the on-demand one of the compile
//! process, which has too little address space for a pool. Their compatibility hashes are equal (pinned by a test);
//! if they drifted apart, every cached artefact would be refused.
//!
//! The pool is probed for first: it reserves 4 GiB of address space per memory, so that compiled code needs no bounds
//! checks, and that fails under a small `RLIMIT_AS`. Then memories are allocated on demand, and `doctor` says so.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::config::RuntimeConfig;
use crate::limits::{RuntimeLimits, to_u32, to_usize};
use crate::slots::Slots;

/// Slots beside those of AAA and drivers: trials and life-cycle calls.
pub(crate) const LIFECYCLE_SLOTS: u64 = 8;

/// Core instances per plugin: a plain Rust component has three or four, one made by an interpreter has more.
const CORE_INSTANCES_PER_PLUGIN: u32 = 16;
/// Memories per plugin: a plain component has one.
const MEMORIES_PER_PLUGIN: u32 = 4;
/// Tables per plugin: a plain component has two.
const TABLES_PER_PLUGIN: u32 = 16;
/// Host frames on top of the plugin's own stack; wasmtime asks for the sum.
const HOST_STACK: usize = 1 << 20;

/// What the engine turned out to be on this machine, for `doctor` and health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineFacts {
    /// Version of wasmtime.
    pub wasmtime: String,
    /// Whether instances come from a pool.
    pub pooling: bool,
    /// Why not, where not.
    pub pooling_refused: Option<String>,
    /// Instances at a time: AAA, drivers and life-cycle calls together.
    pub instances: u64,
    /// Of those, for AAA and for drivers.
    pub slots: Slots,
    /// Hash of everything that compiled code depends on.
    pub compatibility: String,
}

/// Most advisories of the last two years are in these, and no plugin needs them.
const UNNEEDED: [WasmFeatures; 7] = [
    WasmFeatures::GC,
    WasmFeatures::FUNCTION_REFERENCES,
    WasmFeatures::EXCEPTIONS,
    WasmFeatures::THREADS,
    WasmFeatures::MEMORY64,
    WasmFeatures::CM_ASYNC,
    WasmFeatures::RELAXED_SIMD,
];

/// What a component may use, for validating one that is not compiled yet.
pub(crate) fn features() -> WasmFeatures {
    UNNEEDED.into_iter().fold(WasmFeatures::default(), WasmFeatures::difference)
}

/// What both engines share.
fn base(limits: &RuntimeLimits) -> Config {
    let mut config = Config::new();
    let stack = to_usize(limits.wasm_stack_kib.saturating_mul(1 << 10));
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK))
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .shared_memory(false)
        .parallel_compilation(true);
    for unneeded in UNNEEDED {
        config.wasm_features(unneeded, false);
    }
    config
}

/// The engine of the compile process: no pool, the same code.
pub(crate) fn compiling(limits: &RuntimeLimits) -> wasmtime::Result<Engine> {
    Engine::new(&base(limits))
}

/// The engine in which the compile process runs `lifecycle.init`: its code is thrown away afterwards, so it is made
/// quickly; and it takes neither gigabytes of address space nor file descriptors, of which that process has none to give.
pub(crate) fn preparing(limits: &RuntimeLimits) -> wasmtime::Result<Engine> {
    let mut config = base(limits);
    config
        .cranelift_opt_level(OptLevel::None)
        .memory_init_cow(false)
        .memory_reservation(0)
        .memory_reservation_for_growth(0)
        .memory_guard_size(0);
    Engine::new(&config)
}

/// The engine that runs benchmarks: no pool, and fuel, so that the same scenario computes the same in every run.
pub(crate) fn metered(limits: &RuntimeLimits) -> wasmtime::Result<Engine> {
    let mut config = base(limits);
    config.consume_fuel(true);
    Engine::new(&config)
}

/// The engine that runs plugins, and what it turned out to be.
pub(crate) fn running(limits: &RuntimeLimits, slots: &Slots) -> wasmtime::Result<(Engine, EngineFacts)> {
    let instances = slots.aaa.saturating_add(slots.drivers).saturating_add(LIFECYCLE_SLOTS);
    let mut config = base(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, to_u32(instances))));
    let (engine, refused) = match Engine::new(&config) {
        Ok(engine) => (engine, None),
        Err(error) => {
            let reason = format!("{error:#}");
            tracing::warn!(%reason, "no address space for a pool of instances: calls will be slower; raise RLIMIT_AS (ulimit -v)");
            (Engine::new(&base(limits))?, Some(reason))
        }
    };
    let facts = EngineFacts {
        wasmtime: "48".to_owned(),
        pooling: refused.is_none(),
        pooling_refused: refused,
        instances,
        slots: *slots,
        compatibility: compatibility(&engine),
    };
    Ok((engine, facts))
}

/// What the engine would be on this machine, for `doctor` where no site runs.
///
/// # Errors
/// Why there would be none.
pub fn probe(config: &RuntimeConfig) -> Result<EngineFacts, String> {
    running(&config.limits, &Slots::of(config)).map(|(_, facts)| facts).map_err(|error| format!("{error:#}"))
}

fn pool(limits: &RuntimeLimits, instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(6))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_PLUGIN)
        .max_memories_per_component(MEMORIES_PER_PLUGIN)
        .max_tables_per_component(TABLES_PER_PLUGIN)
        .max_memory_size(limits.memory_bytes())
        .table_elements(to_usize(limits.table_elements))
        .max_unused_warm_slots(instances)
        // A fresh instance per call touches few pages: keeping them costs less than giving them back each time.
        .linear_memory_keep_resident(to_usize(limits.keep_resident_kib.saturating_mul(1 << 10)))
        .table_keep_resident(16 << 10)
        // And where the kernel can tell which pages those are (Linux 6.7), only they are reset. Without it the lowest
        // pages are, which in a Rust component are the far end of a stack that nobody reached.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The compatibility hash as text: SHA-256 over what wasmtime feeds a hasher.
pub(crate) fn compatibility(engine: &Engine) -> String {
    struct Into256(Sha256);
    impl std::hash::Hasher for Into256 {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Into256(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
    hex::encode(hasher.0.finalize())
}

/// Counts calls, so that the ticker knows when it may doze; and says whether it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    calls: AtomicU64,
    dozes: AtomicBool,
}

impl Activity {
    /// A call begins.
    pub(crate) fn note(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the next tick is a millisecond away.
    pub(crate) fn is_awake(&self) -> bool {
        !self.0.dozes.load(Ordering::Relaxed)
    }
}

/// Starts the thread that advances the epoch, and ends with the engine.
///
/// One millisecond while calls come in: a plugin that computes gives its thread back that often, so a login behind a
/// loop on two processors waits a millisecond, not ten. Ten milliseconds when a second has passed without a call.
pub(crate) fn start_ticker(engine: &Engine, activity: Activity) -> std::io::Result<()> {
    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(10);
    let weak = engine.weak();
    std::thread::Builder::new().name("archipel-epoch".to_owned()).spawn(move || {
        let mut last = 0;
        let mut quiet = 0_u32;
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            let now = activity.0.calls.load(Ordering::Relaxed);
            quiet = if now == last { quiet.saturating_add(1) } else { 0 };
            last = now;
            let dozes = quiet > 1000;
            activity.0.dozes.store(dozes, Ordering::Relaxed);
            std::thread::sleep(if dozes { SLOW } else { QUICK });
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compile_process_makes_fits_the_engine_that_runs_it() {
        let limits = RuntimeLimits::default();
        let (running, facts) = running(&limits, &Slots::of(&RuntimeConfig::default())).unwrap();
        let compiling = compiling(&limits).unwrap();
        assert_eq!(compatibility(&compiling), facts.compatibility);
        let small = RuntimeLimits { memory_mib: 32, wasm_stack_kib: 256, ..limits };
        assert_eq!(
            compatibility(&super::compiling(&small).unwrap()),
            compatibility(&running),
            "limits do not change code"
        );
    }
}

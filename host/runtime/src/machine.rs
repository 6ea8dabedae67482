//! What all plugins share: the engine, the threads they run on, and the slots of the pool.
//!
//! Plugins compute on threads of their own ([`threads`](crate::threads)). Slots for AAA are counted apart from those for drivers: a cloud that
//! hangs cannot close the door.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::engine::{self, Activity, EngineFacts};
use crate::host::{CallState, add_to_linker};
use crate::limits::{RuntimeLimits, to_usize};
use crate::memory_watch::MemoryWatch;
use crate::slots::Slots;

/// What all plugins share.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
    pub(crate) facts: EngineFacts,
    pub(crate) limits: RuntimeLimits,
    pub(crate) threads: Handle,
    pub(crate) activity: Activity,
    pub(crate) aaa_slots: Arc<Semaphore>,
    pub(crate) driver_slots: Arc<Semaphore>,
    pub(crate) lifecycle_slots: Arc<Semaphore>,
    /// For tests alone.
    pub(crate) memory_watch: Option<MemoryWatch>,
    /// A plugin went into quarantine: the manager publishes that.
    pub(crate) attention: Notify,
}

impl Machine {
    /// Builds the engine and its linker and starts the ticker.
    pub(crate) fn start(limits: &RuntimeLimits, slots: &Slots, threads: Handle) -> wasmtime::Result<Self> {
        let ((engine, facts), memory_watch) = MemoryWatch::around(|| engine::running(limits, slots))?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker)?;
        let activity = Activity::default();
        let semaphore = |slots: u64| Arc::new(Semaphore::new(to_usize(slots).min(Semaphore::MAX_PERMITS)));
        let machine = Self {
            engine,
            linker,
            facts,
            limits: limits.clone(),
            threads,
            activity: activity.clone(),
            aaa_slots: semaphore(slots.aaa),
            driver_slots: semaphore(slots.drivers),
            lifecycle_slots: semaphore(engine::LIFECYCLE_SLOTS),
            memory_watch,
            attention: Notify::new(),
        };
        engine::start_ticker(&machine.engine, activity)?;
        Ok(machine)
    }
}

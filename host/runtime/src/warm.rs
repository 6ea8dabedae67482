//! Warm instances of a driver: one call at a time each, retired after so many calls or so long, or at any failure.
//!
//! Guests leak (handles, memory), and nobody can tell a healthy instance from a poisoned one: after a trap or a
//! deadline the store is dropped, never reused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::host::CallState;
use crate::limits::{RuntimeLimits, to_usize};

/// An instance with its store and its slot.
pub(crate) struct Warm {
    pub(crate) store: Store<CallState>,
    pub(crate) instance: Instance,
    pub(crate) calls: u64,
    pub(crate) born: Instant,
    /// Held while the instance lives.
    pub(crate) _slot: OwnedSemaphorePermit,
}

/// The idle instances of one binding.
pub(crate) struct WarmPool {
    idle: Mutex<Vec<Warm>>,
    most: usize,
    closed: AtomicBool,
    calls: u64,
    age: Duration,
}

impl WarmPool {
    /// None yet.
    pub(crate) fn new(limits: &RuntimeLimits) -> Self {
        Self {
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            most: to_usize(limits.driver_idle),
            calls: limits.driver_calls,
            age: Duration::from_secs(limits.driver_age_s),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Warm>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance that was used last, because its memory is still in the caches.
    pub(crate) fn take(&self) -> Option<Warm> {
        drop(self.retire_old());
        self.lock().pop()
    }

    /// Gives an instance back after a good call.
    pub(crate) fn give_back(&self, warm: Warm) {
        if warm.calls >= self.calls || warm.born.elapsed() >= self.age {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < self.most && !self.closed.load(Ordering::Acquire) {
            idle.push(warm);
        }
    }

    /// Takes out what is too old; the caller drops it outside the lock.
    pub(crate) fn retire_old(&self) -> Vec<Warm> {
        let mut idle = self.lock();
        let (old, young): (Vec<Warm>, Vec<Warm>) =
            idle.drain(..).partition(|warm| warm.born.elapsed() >= self.age);
        *idle = young;
        old
    }

    /// Drops everything, so that the slots are free for others.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    /// Drops everything and keeps nothing more: the binding is of an older generation.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.clear();
    }

    /// Whether it is of an older generation.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

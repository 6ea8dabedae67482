//! What one store may grow to, and what it asked for in vain.
//!
//! A refused `memory.grow` is a failed allocation inside the plugin, which then usually panics: the host sees
//! `unreachable`. The flag kept here tells that apart from an ordinary panic. The curve is evidence: how a plugin came to
//! the size at which it failed.

use std::time::Instant;

use archipel_model::plugin_evidence::MemorySample;
use wasmtime::ResourceLimiter;

use crate::limits::{RuntimeLimits, to_usize};

/// Points of a memory curve; when there are more, every other one goes.
const CURVE: usize = 64;

/// The bounds of one store.
#[derive(Clone, Copy, Debug)]
pub struct StoreBounds {
    /// Bytes of linear memory, over all memories of the instance.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Rows of the resource table, and handles.
    pub handles: usize,
    /// Bytes that one call may hand to the host.
    pub hostcall_bytes: usize,
}

impl From<&RuntimeLimits> for StoreBounds {
    fn from(limits: &RuntimeLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes(),
            table_elements: to_usize(limits.table_elements),
            handles: to_usize(limits.handles),
            hostcall_bytes: limits.hostcall_bytes(),
        }
    }
}

/// Enforces [`StoreBounds`] on one store.
#[derive(Debug)]
pub struct Limiter {
    bounds: StoreBounds,
    used: usize,
    refused: bool,
    born: Instant,
    curve: Vec<MemorySample>,
}

impl Limiter {
    /// Nothing used yet.
    pub fn new(bounds: StoreBounds) -> Self {
        Self { bounds, used: 0, refused: false, born: Instant::now(), curve: Vec::new() }
    }

    /// Linear memory over the instance's life, the newest point last.
    pub fn curve(&self) -> &[MemorySample] {
        &self.curve
    }

    fn note(&mut self) {
        if self.curve.len() >= CURVE {
            let mut is_kept = false;
            self.curve.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        let at_us = u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.curve.push(MemorySample { at_us, bytes: self.used as u64 });
    }

    /// Bytes of linear memory that the instance has.
    pub fn memory_used(&self) -> usize {
        self.used
    }

    /// Whether memory or table was asked for in vain.
    pub fn was_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.used.saturating_add(desired.saturating_sub(current));
        let fits = after <= self.bounds.memory_bytes && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.used = after;
            self.note();
        } else {
            self.refused = true;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.bounds.table_elements && maximum.is_none_or(|maximum| desired <= maximum);
        self.refused |= !fits;
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_instance_share_one_bound() {
        let mut limiter = Limiter::new(StoreBounds {
            memory_bytes: 100,
            table_elements: 10,
            handles: 1,
            hostcall_bytes: 1,
        });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.was_refused());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert_eq!(limiter.memory_used(), 100);
        assert_eq!(limiter.curve().iter().map(|sample| sample.bytes).collect::<Vec<_>>(), [60, 100]);
    }

    #[test]
    fn a_curve_of_many_steps_keeps_its_shape_and_its_end_in_few_points() {
        let mut limiter = Limiter::new(StoreBounds {
            memory_bytes: 1 << 20,
            table_elements: 10,
            handles: 1,
            hostcall_bytes: 1,
        });
        for step in 0..10_000 {
            limiter.memory_growing(step, step + 1, None).unwrap();
        }
        let bytes: Vec<u64> = limiter.curve().iter().map(|sample| sample.bytes).collect();
        assert!(bytes.len() <= CURVE && bytes.len() >= CURVE / 2, "{}", bytes.len());
        assert_eq!((bytes[0], bytes[bytes.len() - 1]), (1, 10_000));
        assert!(bytes.is_sorted());
    }
}

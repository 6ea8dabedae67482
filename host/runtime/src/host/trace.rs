//! The last host functions that a call used, for evidence: what a plugin asked for before it failed, and what it still
//! waited for when its time was up.
//!
//! Names and places alone; never a value, a header or a body. Clocks and randomness are left out: they would push out
//! what matters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::Error;
use archipel_model::plugin_evidence::HostCall;

use super::errors::to_wit;
use super::log::escape;

/// Host functions that are kept of one call.
const KEPT: usize = 32;
/// Bytes of what one was asked for.
const MAX_DETAIL: usize = 160;

/// The host functions of one store's present call; clones share it.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    /// Counts over the store's life, so that an answer that comes late finds its own line or none.
    next: u64,
    calls: VecDeque<(u64, HostCall)>,
}

/// A host function that was called and has not answered.
#[must_use = "a host function that does not say how it ended looks as if it hung"]
pub(crate) struct Pending {
    trace: Trace,
    number: u64,
    began: Instant,
}

impl Default for Trace {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { began: Instant::now(), next: 0, calls: VecDeque::new() })))
    }
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn begin_call(&self) {
        let mut inner = self.lock();
        inner.began = Instant::now();
        inner.calls.clear();
    }

    /// A host function is called.
    pub(crate) fn begin(&self, function: &'static str, detail: &str) -> Pending {
        let began = Instant::now();
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        if inner.calls.len() >= KEPT {
            inner.calls.pop_front();
        }
        let mut what = function.to_owned();
        if !detail.is_empty() {
            what.push(' ');
            what.push_str(&escape(detail.get(..detail.floor_char_boundary(MAX_DETAIL)).unwrap_or_default()));
        }
        let at_us = micros(inner.began, began);
        inner.calls.push_back((number, HostCall { at_us, what, took_us: None, outcome: None }));
        drop(inner);
        Pending { trace: self.clone(), number, began }
    }

    /// What is kept, oldest first.
    pub(crate) fn calls(&self) -> Vec<HostCall> {
        self.lock().calls.iter().map(|(_, call)| call.clone()).collect()
    }
}

impl Pending {
    /// It has answered.
    pub(crate) fn end(self, outcome: impl Into<String>) {
        let took = micros(self.began, Instant::now());
        let mut inner = self.trace.lock();
        if let Some((_, call)) = inner.calls.iter_mut().rev().find(|(number, _)| *number == self.number) {
            call.took_us = Some(took);
            call.outcome = Some(outcome.into());
        }
    }

    /// It has answered this; as the plugin gets it.
    pub(crate) fn answer<T>(self, result: Result<T, Error>) -> Result<T, WitError> {
        match &result {
            Ok(_) => self.end("ok"),
            Err(error) => self.end(error.kind.as_str()),
        }
        result.map_err(to_wit)
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_functions_are_kept_and_what_has_not_answered_is_seen() {
        let trace = Trace::default();
        let early = trace.begin("storage.get", "first");
        for number in 0..KEPT {
            trace.begin("storage.get", &format!("key-{number}\n")).end("ok");
        }
        early.end("ok");
        let waiting = trace.begin("http", "GET https://cloud.test");
        let calls = trace.calls();
        assert_eq!(calls.len(), KEPT);
        assert_eq!(calls[0].what, "storage.get key-1\\n");
        let last = calls.last().unwrap();
        assert_eq!((last.what.as_str(), last.took_us), ("http GET https://cloud.test", None));
        assert!(calls[..KEPT - 1].iter().all(|call| call.outcome.as_deref() == Some("ok")));
        trace.begin_call();
        waiting.end("200");
        assert!(trace.calls().is_empty(), "an answer of an earlier call is nobody's");
    }

    #[test]
    fn an_error_is_noted_by_its_kind_alone() {
        let trace = Trace::default();
        let answer = trace.begin("credentials.open", "admin").answer::<()>(Err(Error::forbidden("why")));
        assert_eq!(answer.unwrap_err().message, "why");
        assert_eq!(trace.calls()[0].outcome.as_deref(), Some("forbidden"));
    }
}

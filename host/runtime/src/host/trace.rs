//! The last host functions that a call used, for evidence: what a plugin asked for before it failed, and what it still
//! waited for when its time was up.
//!
//! Names and places alone; never a value, a header or a body. Clocks and randomness are left out: they would push out
//! what matters. What is refused is said in the log as well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::plugin_evidence::HostCall;
use archipel_model::{Error, ErrorKind};

use super::binding::BindingContext;
use super::call::CallInfo;
use super::errors::to_wit;
use super::log::escape;

/// Host functions that are kept of one call.
const KEPT: usize = 32;
/// Bytes of what one was asked for.
const MAX_DETAIL: usize = 160;

/// The code of what a plugin tries with a handle that it got in an earlier call.
pub(crate) const STALE_HANDLE: &str = "stale-handle";

/// The host functions of one store's present call; clones share it.
#[derive(Clone)]
pub(crate) struct Trace {
    binding: Arc<BindingContext>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    call: CallInfo,
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
    what: String,
    began: Instant,
}

impl Trace {
    /// Of a store's first call.
    pub(crate) fn new(binding: Arc<BindingContext>, call: &CallInfo) -> Self {
        let calls = VecDeque::new();
        let inner = Inner { call: call.clone(), began: Instant::now(), next: 0, calls };
        Self { binding, inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn begin_call(&self, call: &CallInfo) {
        let mut inner = self.lock();
        inner.call = call.clone();
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
        inner.calls.push_back((number, HostCall { at_us, what: what.clone(), took_us: None, outcome: None }));
        drop(inner);
        Pending { trace: self.clone(), number, what, began }
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
            Err(error) => {
                self.tell(error);
                self.end(error.kind.as_str());
            }
        }
        result.map_err(to_wit)
    }

    /// What the sandbox refuses is the administrator's to know; what is wrong with a question is the plugin's alone.
    fn tell(&self, error: &Error) {
        let is_refusal = matches!(error.kind, ErrorKind::Forbidden | ErrorKind::QuotaExceeded);
        if is_refusal || error.has_code(STALE_HANDLE) {
            let call = self.trace.lock().call.clone();
            self.trace
                .binding
                .remark(&call, format_args!("{} was refused: {}", self.what, escape(&error.message)));
        }
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::call::CallClass;
    use super::super::tests::{call, services, state};
    use super::*;

    fn trace() -> Trace {
        state(&services(), "driver", CallClass::Driver, "").trace
    }

    #[test]
    fn the_last_functions_are_kept_and_what_has_not_answered_is_seen() {
        let trace = trace();
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
        trace.begin_call(&call(CallClass::Driver));
        waiting.end("200");
        assert!(trace.calls().is_empty(), "an answer of an earlier call is nobody's");
    }

    #[test]
    fn an_error_is_noted_by_its_kind_alone() {
        let trace = trace();
        let answer = trace.begin("credentials.open", "admin").answer::<()>(Err(Error::forbidden("why")));
        assert_eq!(answer.unwrap_err().message, "why");
        assert_eq!(trace.calls()[0].outcome.as_deref(), Some("forbidden"));
    }
}

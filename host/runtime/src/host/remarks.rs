//! What the host says in its log about a plugin: what it asked for and did not get, and what of it was too much.
//!
//! A plugin decides how often it asks, and a log is a disk: of one binding the first lines of a stretch of time are told,
//! what comes on top is counted and told with the first line of the next.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::binding::BindingContext;
use super::call::CallInfo;

/// Lines of one binding in one stretch.
const MOST: u32 = 20;
/// A stretch.
const STRETCH: Duration = Duration::from_secs(10);

/// How much was said about one binding.
#[derive(Debug, Default)]
pub(crate) struct Remarks(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    began: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Remarks {
    /// Whether one more line may be said at `now`, and how many were not since the last.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = inner.began.is_none_or(|began| now.duration_since(began) >= STRETCH);
        if is_over {
            inner.began = Some(now);
            inner.said = 0;
        }
        if inner.said >= MOST {
            inner.unsaid += 1;
            return None;
        }
        inner.said += 1;
        Some(std::mem::take(&mut inner.unsaid))
    }
}

impl BindingContext {
    /// Says to the administrator what a call of this binding asked for and why it did not get it, or what of it was cut.
    /// The text is the host's own: what of it comes from the plugin is escaped already.
    pub(crate) fn remark(&self, call: &CallInfo, what: impl Display) {
        let Some(unsaid) = self.remarks.admit(Instant::now()) else { return };
        let (plugin, function, request) = (&self.label, call.function, &call.request_id);
        if unsaid > 0 {
            tracing::warn!(
                target: "archipel::plugin", %plugin, function, %request, unsaid, "{what}; so many lines before it were left out"
            );
        } else {
            tracing::warn!(target: "archipel::plugin", %plugin, function, %request, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_a_stretch_are_said_and_the_others_counted() {
        let (remarks, start) = (Remarks::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(remarks.admit(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(remarks.admit(start + STRETCH / 2), None);
        }
        assert_eq!(
            remarks.admit(start + STRETCH),
            Some(1000),
            "the next stretch begins with how many were left out"
        );
        assert_eq!(remarks.admit(start + STRETCH), Some(0));
    }
}

//! `archipel:host/log`: lines into the site's log, under the target `archipel::plugin` with the binding's name.
//!
//! Bounded per call, because a log is a disk: what is over the limits is counted and said once at the end.

use std::collections::VecDeque;
use std::fmt::Write as _;

use archipel_bindings::latest::archipel::host::log::{self, Level};

use super::binding::BindingContext;
use super::call::CallInfo;
use super::state::CallState;
use super::stdio::Captured;

/// Lines per call.
const MAX_LINES: u32 = 200;
/// Bytes per call, fields included.
const MAX_BYTES: usize = 64 * 1024;
/// Bytes of one line.
const MAX_LINE: usize = 8 * 1024;
/// Lines kept for a call's report.
const TAIL: usize = 20;

/// What one call may still log, and its last lines.
#[derive(Default)]
pub(crate) struct LogBudget {
    lines: u32,
    bytes: usize,
    dropped: u64,
    tail: VecDeque<String>,
}

impl LogBudget {
    /// A call begins.
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    /// Takes one line, escaped and cut; `None` where the budget is used up.
    fn admit(&mut self, message: &str, fields: &[(String, String)]) -> Option<(String, String)> {
        let message = escape(cut(message, MAX_LINE));
        let mut written = String::new();
        for (key, value) in fields {
            let separator = if written.is_empty() { "" } else { " " };
            let _ = write!(written, "{separator}{}={:?}", escape(cut(key, 64)), cut(value, MAX_LINE));
            if written.len() > MAX_LINE {
                break;
            }
        }
        let size = message.len() + written.len();
        if self.lines >= MAX_LINES || self.bytes + size > MAX_BYTES {
            self.dropped += 1;
            return None;
        }
        self.lines += 1;
        self.bytes += size;
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(if written.is_empty() {
            message.clone()
        } else {
            format!("{message} {written}")
        });
        Some((message, written))
    }

    /// A call ends: what it wrote to its standard streams goes to the log too, and so does how much was dropped.
    pub(crate) fn end(
        &self,
        binding: &BindingContext,
        call: &CallInfo,
        stdout: &Captured,
        stderr: &Captured,
    ) {
        let (plugin, function, request) = (&binding.label, call.function, &call.request_id);
        for line in stdout.lines().into_iter().take(TAIL) {
            tracing::debug!(target: "archipel::plugin", %plugin, function, %request, stream = "stdout", "{line}");
        }
        for line in stderr.lines().into_iter().take(TAIL) {
            tracing::warn!(target: "archipel::plugin", %plugin, function, %request, stream = "stderr", "{line}");
        }
        if self.dropped > 0 {
            let dropped = self.dropped;
            tracing::warn!(target: "archipel::plugin", %plugin, function, %request, dropped, "log lines over the limit of a call were dropped");
        }
        let unkept = stdout.dropped() + stderr.dropped();
        if unkept > 0 {
            tracing::warn!(target: "archipel::plugin", %plugin, function, %request, unkept, "bytes of standard output and error over the limit of a call were dropped");
        }
    }

    /// The last lines.
    pub(crate) fn take_tail(&mut self) -> Vec<String> {
        std::mem::take(&mut self.tail).into()
    }

    /// How many lines were over the limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl log::Host for CallState {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if let Some((message, fields)) = self.log.admit(&message, &fields) {
            let (plugin, function, request) =
                (&self.binding.label, self.call.function, &self.call.request_id);
            macro_rules! line {
                ($level:ident) => {
                    tracing::$level!(target: "archipel::plugin", %plugin, function, %request, %fields, "{message}")
                };
            }
            match level {
                Level::Trace => line!(trace),
                Level::Debug => line!(debug),
                Level::Info => line!(info),
                Level::Warn => line!(warn),
                Level::Error => line!(error),
            }
        }
        Ok(())
    }
}

/// A line that cannot move a cursor, start a new line or turn the reading direction.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                out.extend(c.escape_unicode())
            }
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_break_out_of_the_log() {
        assert_eq!(
            escape("a\nERROR forged\r\x1b[2J\tb\u{202e}c é"),
            "a\\nERROR forged\\r\\u{1b}[2J b\\u{202e}c é"
        );
    }

    #[test]
    fn lines_over_the_limit_are_counted_and_dropped() {
        let mut budget = LogBudget::default();
        for _ in 0..MAX_LINES {
            assert!(budget.admit("x", &[]).is_some());
        }
        assert!(budget.admit("x", &[]).is_none());
        assert_eq!(budget.dropped(), 1);
        budget.begin();
        assert!(budget.admit("x", &[]).is_some());
        assert_eq!(budget.dropped(), 0);
    }

    #[test]
    fn bytes_are_bounded_too_and_long_lines_cut() {
        let mut budget = LogBudget::default();
        let long = "é".repeat(10_000);
        let mut admitted = 0;
        while budget.admit(&long, &[("k".into(), "v".into())]).is_some() {
            admitted += 1;
        }
        assert_eq!(admitted, 7);
    }

    #[test]
    fn the_tail_keeps_the_last_lines_with_their_fields() {
        let mut budget = LogBudget::default();
        for n in 0..30 {
            budget.admit(&format!("line {n}"), &[("why".into(), "a \"b\"".into())]);
        }
        let tail = budget.take_tail();
        assert_eq!(tail.len(), TAIL);
        assert_eq!(tail.last().unwrap(), "line 29 why=\"a \\\"b\\\"\"");
    }
}

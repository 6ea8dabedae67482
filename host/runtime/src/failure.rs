//! How a call into a plugin fails, and what the caller is told.
//!
//! The caller learns the plugin, the function and the kind of failure; frames and panic text go to the log only.

use std::time::Duration;

use archipel_model::{Applied, Error};
use wasmtime::{Trap, WasmBacktrace};

use crate::host::{CallClass, escape};

/// Frames that are kept of a trap: recursion has thousands.
const MAX_FRAMES: usize = 32;
/// Bytes of a cause, and of a frame.
const MAX_TEXT: usize = 512;

/// What a call came to, for figures and supervision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It answered.
    Ok,
    /// It answered with a typed error.
    Error,
    /// It trapped.
    Trap,
    /// It did not answer in time.
    Deadline,
    /// It asked for more memory than it may have, and gave up.
    Memory,
    /// It was not called: no slot in time, or quarantined.
    Refused,
}

impl Outcome {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Refused => "refused",
        }
    }

    /// Whether the plugin broke off, rather than answered.
    pub(crate) const fn is_broken(self) -> bool {
        matches!(self, Self::Trap | Self::Deadline | Self::Memory)
    }
}

/// A call that did not answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The plugin itself says so, or its answer is unusable.
    Typed(Error),
    /// It trapped.
    Trap(Fault),
    /// It did not answer in time.
    Deadline {
        /// It was computing, not waiting.
        computing: bool,
    },
    /// It ran out of memory.
    Memory(Fault),
    /// There was no slot in time.
    Busy,
}

/// What wasmtime says of a trap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// At most [`MAX_TEXT`] bytes.
    pub(crate) cause: String,
    /// Innermost first, demangled; at most [`MAX_FRAMES`], each at most [`MAX_TEXT`] bytes.
    pub(crate) frames: Vec<String>,
}

impl Failure {
    /// Sorts an error of wasmtime.
    pub(crate) fn of(error: &wasmtime::Error, memory_refused: bool) -> Self {
        let fault = Fault::of(error);
        if memory_refused { Self::Memory(fault) } else { Self::Trap(fault) }
    }

    /// For figures and supervision.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Typed(_) => Outcome::Error,
            Self::Trap(_) => Outcome::Trap,
            Self::Deadline { .. } => Outcome::Deadline,
            Self::Memory(_) => Outcome::Memory,
            Self::Busy => Outcome::Refused,
        }
    }

    /// Whether it speaks against the plugin. One that waits for a cloud, or for its turn on a busy machine, is not to
    /// blame: else a cloud that hangs would take the same driver away from every other cloud.
    pub(crate) const fn is_strike(&self) -> bool {
        matches!(self, Self::Trap(_) | Self::Memory(_) | Self::Deadline { computing: true })
    }

    /// What wasmtime says, where it says anything.
    pub(crate) const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Trap(fault) | Self::Memory(fault) => Some(fault),
            _ => None,
        }
    }

    /// What the log gets beside the caller's message: one line.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Trap(fault) | Self::Memory(fault) => fault.line(),
            Self::Deadline { computing: true } => "it was computing when its time was up".to_owned(),
            Self::Deadline { computing: false } => "it was waiting when its time was up".to_owned(),
            Self::Typed(_) | Self::Busy => String::new(),
        }
    }

    /// What the caller gets.
    pub(crate) fn into_error(
        self,
        plugin: &str,
        function: &str,
        class: CallClass,
        deadline: Duration,
    ) -> Error {
        let applied = match class {
            CallClass::Driver => Applied::Unknown,
            _ => Applied::No,
        };
        let begun =
            |message: String, code: &'static str| Error::transient(message).code(code).applied(applied);
        match self {
            Self::Typed(error) => error,
            Self::Trap(_) => {
                begun(format!("plugin {plugin} failed in {function}; its log says why"), "plugin-trap")
            }
            Self::Deadline { .. } => begun(
                format!(
                    "plugin {plugin} did not finish {function} within {:.0} ms",
                    deadline.as_secs_f64() * 1000.0
                ),
                "plugin-deadline",
            ),
            Self::Memory(_) => begun(
                format!("plugin {plugin} ran out of memory in {function}; its log says where"),
                "plugin-memory",
            ),
            Self::Busy => Error::transient(format!("plugin {plugin} is busy; try again"))
                .code("plugin-busy")
                .retry_after(Duration::from_secs(1)),
        }
    }
}

impl Fault {
    fn of(error: &wasmtime::Error) -> Self {
        let cause = error
            .downcast_ref::<Trap>()
            .map_or_else(|| error.root_cause().to_string(), |trap| trap.to_string());
        let trace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
        let frames = trace.lines().skip(1).take(MAX_FRAMES);
        // `    3:   0x1a2b - module.wasm!crate::function`
        let name = |line: &str| plain(without_hash(line.rsplit(" - ").next().unwrap_or(line).trim()));
        let frames = frames.map(name).collect();
        Self { cause: plain(&cause), frames }
    }

    /// Cause and top frames; at most 2 KiB.
    fn line(&self) -> String {
        let mut text = self.cause.clone();
        for frame in self.frames.iter().take(10) {
            text.push_str("; at ");
            text.push_str(frame);
        }
        text.truncate(text.floor_char_boundary(2_000));
        text
    }
}

/// `crate::function::h0123456789abcdef` without what the compiler appends to tell two of that name apart.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

/// Names are the plugin's to choose: escaped and cut.
fn plain(text: &str) -> String {
    let mut text = escape(text);
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_shown_without_the_compilers_hash() {
        assert_eq!(without_hash("p.wasm!p::decide::hb0112d726ca20c99"), "p.wasm!p::decide");
        for other in ["p.wasm!p::hello", "p.wasm!p::h", "memcpy"] {
            assert_eq!(without_hash(other), other);
        }
    }

    #[test]
    fn a_driver_that_fails_may_have_acted_and_an_aaa_plugin_has_not() {
        let driver = Failure::Trap(Fault::default()).into_error(
            "p",
            "compute.request-instance",
            CallClass::Driver,
            Duration::ZERO,
        );
        assert_eq!((driver.applied, driver.code.as_deref()), (Applied::Unknown, Some("plugin-trap")));
        let aaa = Failure::Deadline { computing: true }.into_error(
            "p",
            "authorization.is-authorized",
            CallClass::Aaa,
            Duration::from_millis(250),
        );
        assert_eq!(aaa.applied, Applied::No);
        assert_eq!(aaa.message, "plugin p did not finish authorization.is-authorized within 250 ms");
        assert!(
            !Failure::Deadline { computing: false }.is_strike(),
            "a cloud that hangs is not the plugin's fault"
        );
        let busy = Failure::Busy.into_error("p", "f", CallClass::Driver, Duration::ZERO);
        assert_eq!(busy.applied, Applied::No, "it was never called");
    }
}

//! What changes from call to call, and what a call leaves behind.

use std::time::Instant;

use archipel_model::OrderId;
use archipel_model::plugin_evidence::HostCall;

/// What kind of call it is; decides what the imports allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallClass {
    /// One of the five AAA interfaces: storage is read-only, so that it is no channel between users.
    Aaa,
    /// A driver's call.
    Driver,
    /// `lifecycle.refresh`: network and storage, never user data.
    Lifecycle,
    /// `lifecycle.init`: configuration, files and the log, nothing else; its memory may be kept for all calls.
    Init,
    /// A benchmark's scenario: the broker and nothing else.
    Benchmark,
}

impl CallClass {
    /// Whether storage may be written.
    pub const fn may_write(self) -> bool {
        matches!(self, Self::Driver | Self::Lifecycle)
    }

    /// Whether anything that may differ from call to call can be read: storage, secrets, what a refresh left.
    pub const fn may_read(self) -> bool {
        !matches!(self, Self::Init)
    }

    /// Whether requests may leave.
    pub const fn may_connect(self) -> bool {
        !matches!(self, Self::Init | Self::Benchmark)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Its kind.
    pub class: CallClass,
    /// The exported function, e.g. `compute.request-instance`.
    pub function: &'static str,
    /// For logs.
    pub request_id: String,
    /// The order it serves.
    pub order: Option<OrderId>,
    /// When it must have ended, host functions included.
    pub deadline: Instant,
}

/// What a call leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallReport {
    /// Storage was written: await `storage.flush()` before anyone sees the result.
    pub storage_written: bool,
    /// The last lines it logged, for evidence; at most 20.
    pub log_tail: Vec<String>,
    /// The end of what it wrote to standard error, where a panic's text is; at most 4 KiB, control characters escaped.
    pub stderr_tail: String,
    /// The last functions of the host that it called; at most 32.
    pub host_calls: Vec<HostCall>,
    /// Lines that were over the limit.
    pub log_lines_dropped: u64,
    /// Bytes of request bodies sent.
    pub bytes_sent: u64,
    /// Bytes of response bodies received.
    pub bytes_received: u64,
}

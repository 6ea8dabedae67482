//! What a call that broke off leaves behind, gathered before its store is dropped.
//!
//! Bounded in every part, because a plugin decides how often it fails and with what text; and masked, because what it
//! logs may be an echo of what it was lent. Gathered only for calls that broke off: an answer with an error is no
//! failure of the plugin.

use archipel_model::plugin_evidence::{FailedCall, HostCall, MemorySample};
use archipel_vault::Masker;

use crate::failure::Fault;
use crate::host::CallReport;

/// Log lines of a failed call.
const LOG_LINES: usize = 20;
/// Bytes of one of them.
const LOG_LINE: usize = 512;
/// Stands where text cannot be shown.
const WITHHELD: &str = "(withheld: the call held too many secrets to look for)";

/// What a call leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The end of its standard error, for the log.
    pub(crate) stderr: String,
    /// Linear memory of its instance at the end.
    pub(crate) memory_bytes: usize,
    /// Of a call that broke off.
    pub(crate) broken: Option<Broken>,
}

/// What a call that broke off leaves behind.
#[derive(Debug)]
pub(crate) struct Broken {
    masker: Option<Masker>,
    log: Vec<String>,
    host_calls: Vec<HostCall>,
    memory: Vec<MemorySample>,
    instance_call: u64,
}

impl Broken {
    /// Takes what is there; `masker` is of before the call's end, when its handles still had bytes.
    pub(crate) fn new(
        masker: Option<Masker>,
        report: &CallReport,
        memory: &[MemorySample],
        instance_call: u64,
    ) -> Self {
        Self {
            masker,
            log: report.log_tail.clone(),
            host_calls: report.host_calls.clone(),
            memory: memory.to_vec(),
            instance_call,
        }
    }

    /// Text that may be shown.
    pub(crate) fn shown(&self, text: &str) -> String {
        match &self.masker {
            Some(masker) => masker.mask_text(text),
            None if text.is_empty() => String::new(),
            None => WITHHELD.to_owned(),
        }
    }

    /// The whole of it. `call` has what is known without the plugin's help.
    pub(crate) fn describe(self, fault: Option<&Fault>, stderr: &str, call: FailedCall) -> FailedCall {
        let from = self.log.len().saturating_sub(LOG_LINES);
        let line = |line: &String| {
            let mut line = self.shown(line);
            line.truncate(line.floor_char_boundary(LOG_LINE));
            line
        };
        let host_calls = self.host_calls.iter().cloned();
        FailedCall {
            cause: fault.map(|fault| self.shown(&fault.cause)).unwrap_or(call.cause),
            frames: fault
                .map(|fault| fault.frames.iter().map(|frame| self.shown(frame)).collect())
                .unwrap_or_default(),
            log: self.log.iter().skip(from).map(line).collect(),
            stderr: self.shown(stderr),
            host_calls: host_calls.map(|call| HostCall { what: self.shown(&call.what), ..call }).collect(),
            memory: self.memory.clone(),
            instance_call: self.instance_call,
            ..call
        }
    }
}

/// A failure with nothing in it but a number.
#[cfg(test)]
pub(crate) fn sample(took_us: u64) -> FailedCall {
    FailedCall {
        at: archipel_model::Timestamp::default(),
        digest: String::new(),
        version: String::new(),
        binding: String::new(),
        function: String::new(),
        request_id: String::new(),
        order: None,
        outcome: String::new(),
        strike: true,
        took_us,
        instance_call: 0,
        cause: "deadline".to_owned(),
        frames: Vec::new(),
        log: Vec::new(),
        stderr: String::new(),
        host_calls: Vec::new(),
        memory: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> CallReport {
        CallReport {
            log_tail: (0..30).map(|n| format!("line {n} s3cretvalue {}", "é".repeat(400))).collect(),
            host_calls: vec![HostCall {
                at_us: 1,
                what: "storage.get s3cretvalue".to_owned(),
                took_us: None,
                outcome: None,
            }],
            ..CallReport::default()
        }
    }

    fn fault() -> Fault {
        Fault { cause: "wasm trap".to_owned(), frames: vec!["p.wasm!f::s3cretvalue".to_owned()] }
    }

    #[test]
    fn every_text_is_masked_and_cut() {
        let mut masker = Masker::new();
        masker.add(b"s3cretvalue");
        let memory = [MemorySample { at_us: 0, bytes: 65_536 }];
        let broken = Broken::new(Some(masker), &report(), &memory, 1);
        let call = broken.describe(Some(&fault()), "panicked: s3cretvalue", sample(7));
        let json = serde_json::to_string(&call).unwrap();
        assert!(!json.contains("s3cretvalue"), "{json}");
        assert_eq!((call.log.len(), call.took_us, call.instance_call), (LOG_LINES, 7, 1));
        assert!(call.log.iter().all(|line| line.len() <= LOG_LINE));
        assert!(call.log[19].starts_with("line 29 ***********"), "{}", call.log[19]);
        assert_eq!(call.stderr, "panicked: ***********");
        assert_eq!(call.memory, memory);
    }

    #[test]
    fn where_there_were_too_many_secrets_no_text_is_shown() {
        let call = Broken::new(None, &report(), &[], 3).describe(Some(&fault()), "", sample(0));
        let json = serde_json::to_string(&call).unwrap();
        assert!(!json.contains("s3cretvalue") && json.contains("withheld"), "{json}");
        assert_eq!(call.stderr, "");
    }

    #[test]
    fn a_call_without_a_trap_keeps_its_own_cause() {
        let call =
            Broken::new(Some(Masker::new()), &CallReport::default(), &[], 1).describe(None, "", sample(0));
        assert_eq!(call.cause, "deadline");
        assert!(call.frames.is_empty());
    }
}

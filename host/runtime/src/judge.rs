//! What is made of a call once it has ended: figures, evidence, strikes, the log, and what the caller gets.

use std::time::Instant;

use archipel_model::Error;
use archipel_model::plugin_evidence::FailedCall;
use tracing::Span;

use crate::call::{Binding, Ended};
use crate::convert;
use crate::evidence::Left;
use crate::failure::{Failure, Outcome};
use crate::host::CallInfo;
use crate::limits::to_usize;

impl Binding {
    /// Judges a call that was asked for at `started`.
    pub(crate) fn judge<R>(&self, info: &CallInfo, started: Instant, ended: Ended<R>) -> Result<R, Error> {
        let (outcome, memory) = match &ended {
            Ok((_, memory)) => (Outcome::Ok, *memory),
            Err((failure, left)) => (failure.outcome(), left.memory_bytes),
        };
        self.plugin.figures.note(info.function, outcome, started.elapsed(), memory);
        let span = Span::current();
        span.record("archipel.outcome", outcome.as_str());
        if outcome.is_broken() {
            span.record("otel.status_code", "ERROR");
        }
        match ended {
            Ok((answer, _)) => Ok(answer),
            Err((failure, left)) => {
                self.keep(info, started, &failure, left);
                let allowed = info.deadline.duration_since(started);
                Err(failure.into_error(&self.plugin.name, info.function, info.class, allowed))
            }
        }
    }

    /// Of a call that broke off: evidence, the log, a strike.
    fn keep(&self, info: &CallInfo, started: Instant, failure: &Failure, left: Left) {
        let plugin = &self.plugin;
        if let Failure::Typed(error) = failure {
            // An answer that nobody can use is no break, but somebody made it: the log says who.
            if error.has_code("plugin-answer") {
                tracing::warn!(
                    plugin = %plugin.name, binding = %self.context.name, digest = %plugin.digest, function = info.function,
                    request_id = %info.request_id, reason = %error.message,
                    "a plugin's answer was refused"
                );
            }
            if convert::is_cut(error) {
                self.context.remark(info, "a plugin's error was cut: it has more than 2 KiB of text");
            }
        }
        let Some(broken) = left.broken else { return };
        let outcome = failure.outcome().as_str();
        let function = info.function;
        let (detail, stderr) = (broken.shown(&failure.detail()), broken.shown(&left.stderr));
        tracing::warn!(
            plugin = %plugin.name, binding = %self.context.label, digest = %plugin.digest, function,
            request_id = %info.request_id, outcome, detail, stderr,
            "a plugin's call failed"
        );
        let at = self.context.services.clock.now();
        let call = FailedCall {
            at,
            digest: plugin.digest.clone(),
            version: plugin.manifest.version.clone(),
            binding: self.context.label.clone(),
            function: function.to_owned(),
            request_id: info.request_id.clone(),
            order: info.order,
            outcome: outcome.to_owned(),
            strike: failure.is_strike(),
            took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            cause: failure.detail(),
            // The rest is the plugin's.
            instance_call: 0,
            frames: Vec::new(),
            log: Vec::new(),
            stderr: String::new(),
            host_calls: Vec::new(),
            memory: Vec::new(),
        };
        let call = broken.describe(failure.fault(), &left.stderr, call);
        let what = format!("{outcome} in {function}: {detail} {stderr}");
        let is_quarantined = failure.is_strike() && plugin.supervisor.strike(Instant::now(), at, what.trim());
        if is_quarantined {
            plugin.figures.quarantined();
            let bundle = serde_json::to_string(&call).unwrap_or_default();
            tracing::error!(
                plugin = %plugin.name, digest = %plugin.digest, evidence = %bundle,
                "quarantined: it keeps failing; see archipel plugin evidence {}", plugin.name
            );
        }
        plugin.figures.keep(call, to_usize(self.machine.limits.evidence_failures));
        if is_quarantined {
            self.warm.clear();
            self.machine.attention.notify_one();
        }
    }
}

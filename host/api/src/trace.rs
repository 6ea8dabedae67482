//! Traces (W3C Trace Context, level 1): a request goes on with its client's trace or begins one, and its span is the parent of
//! what happens on its way. Names are those of the OpenTelemetry semantic conventions for HTTP servers.

use std::fmt;

use archipel_model::SPAN;
use http::{HeaderValue, Method, Response};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Where a request stands in a trace; written as a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: u128,
    /// The client's span.
    parent: Option<u64>,
    /// Our span.
    span: u64,
    flags: u8,
}

impl Trace {
    /// The client's trace with a span of ours, or a new trace that nobody keeps.
    pub(crate) fn of(traceparent: Option<&HeaderValue>) -> Self {
        let (id, span): (u128, u64) = rand::random();
        match traceparent.and_then(read) {
            Some((theirs, parent, flags)) => Self { id: theirs, parent: Some(parent), span, flags },
            None => Self { id, parent: None, span, flags: 0 },
        }
    }

    /// The span of a request; a disabled one where no traces are wanted.
    pub(crate) fn begin(&mut self, method: &Method, route: Option<&str>, path: &str, request: &str) -> Span {
        let route = route.unwrap_or_default();
        let span = tracing::info_span!(
            target: SPAN, "request", "otel.kind" = "server", "otel.name" = Empty, "otel.status_code" = Empty,
            "http.request.method" = %method, "http.route" = route, "url.path" = path,
            "http.response.status_code" = Empty, "archipel.request.id" = request, "archipel.order.location" = Empty,
        );
        if span.is_disabled() {
            return span;
        }
        // The name must be one of few: a path that matched nothing could be anything.
        span.record("otel.name", format!("{method} {route}").trim_end());
        if let Some(parent) = self.parent {
            let (id, parent) = (TraceId::from(self.id), SpanId::from(parent));
            let theirs = SpanContext::new(id, parent, TraceFlags::new(self.flags), true, TraceState::NONE);
            // It has just been made, and we are the only ones to give it a parent.
            let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(theirs));
        }
        let context = span.context();
        let ours = context.span().span_context().clone();
        if ours.is_valid() {
            self.id = u128::from_be_bytes(ours.trace_id().to_bytes());
            self.span = u64::from_be_bytes(ours.span_id().to_bytes());
            self.flags = ours.trace_flags().to_u8();
        }
        span
    }
}

/// What the answer says, for the span.
pub(crate) fn end<B>(span: &Span, response: &Response<B>) {
    if span.is_disabled() {
        return;
    }
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    // A client's mistake is none of the server's (semantic conventions, "Status").
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(location) =
        response.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok())
    {
        span.record("archipel.order.location", location);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags)
    }
}

/// Trace, span and flags of a version 00 traceparent.
fn read(value: &HeaderValue) -> Option<(u128, u64, u8)> {
    let mut parts = value.to_str().ok()?.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| {
        text.len() == length && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f'))
    };
    if parts.next().is_some()
        || version != "00"
        || !is_hex(trace, 32)
        || !is_hex(span, 16)
        || !is_hex(flags, 2)
    {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    Some((trace, span, u8::from_str_radix(flags, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(traceparent: &'static str) -> String {
        Trace::of(Some(&HeaderValue::from_static(traceparent))).to_string()
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_ours() {
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let got = told(sent);
        assert!(got.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && got.ends_with("-01"), "{got}");
        assert_ne!(got, sent);
        for bad in [
            "00-x-y-z",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert!(!told(bad).contains("4bf92f"), "{bad}");
        }
    }

    #[test]
    fn without_traces_there_is_no_span() {
        let mut trace = Trace::of(None);
        let before = trace;
        assert!(trace.begin(&Method::GET, Some("/v1/me"), "/v1/me", "r").is_disabled());
        assert_eq!(trace, before);
    }
}

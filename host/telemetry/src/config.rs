//! `[telemetry]` of the site file.
//!
//! ```toml
//! [telemetry]
//! otlp = "https://collector.example.org:4318"      # /v1/traces and /v1/metrics are added
//! headers = { authorization = "collector-token" }  # header = name of a secret
//! trace_ratio = 0.1
//! attributes = { "deployment.environment.name" = "production" }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_egress::{Origin, PrivateAccess};
use http::HeaderName;
use serde::Deserialize;

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The collector's base address (OTLP over HTTP, usually port 4318); none = nothing is sent.
    pub otlp: Option<String>,
    /// Headers of each request; values are names of secrets.
    pub headers: BTreeMap<String, String>,
    /// Private addresses that the collector may have: `true`, or ranges.
    pub private: PrivateAccess,
    /// Send over plain HTTP to another machine; loopback may always be plain.
    pub allow_plain_http: bool,
    /// Send traces.
    pub traces: bool,
    /// Send metrics.
    pub metrics: bool,
    /// Which part of the traces that begin here is kept, from 0 to 1. A trace that a client began is kept as the client says.
    pub trace_ratio: f64,
    /// Ended spans that wait to be sent; what does not fit is dropped, so that a collector that is away costs no memory.
    pub queue: u32,
    /// Seconds between two sendings of metrics.
    pub metrics_every_s: u32,
    /// Seconds for one request to the collector.
    pub timeout_s: u32,
    /// What else is to be said of this site in each request (OpenTelemetry resource attributes).
    pub attributes: BTreeMap<String, String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: None,
            headers: BTreeMap::new(),
            private: PrivateAccess::default(),
            allow_plain_http: false,
            traces: true,
            metrics: true,
            trace_ratio: 1.0,
            queue: 8192,
            metrics_every_s: 60,
            timeout_s: 10,
            attributes: BTreeMap::new(),
        }
    }
}

impl TelemetryConfig {
    /// What is wrong with it that types cannot say, with the path of each; `secrets` are the names that there are.
    pub fn check(&self, secrets: &[&str]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut tell = |key: &str, message: String| found.push((format!("telemetry.{key}"), message));
        match self.otlp.as_deref().map(Origin::of_url) {
            None => {}
            Some(Err(error)) => tell("otlp", error.to_string()),
            Some(Ok((origin, _))) if !origin.secure && !origin.is_loopback() && !self.allow_plain_http => {
                tell(
                    "otlp",
                    "plain HTTP shows traces to the network; use https, or set allow_plain_http = true"
                        .to_owned(),
                )
            }
            Some(Ok(_)) => {}
        }
        for (header, secret) in &self.headers {
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                tell("headers", format!("{header:?} is no name of a header"));
            }
            if !secrets.contains(&secret.as_str()) {
                tell("headers", format!("there is no [secrets.{secret}]; add it"));
            }
        }
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            tell("trace_ratio", "write a number from 0 (none) to 1 (all)".to_owned());
        }
        let ranges = [
            ("queue", self.queue, 512..=1_000_000),
            ("metrics_every_s", self.metrics_every_s, 1..=86_400),
            ("timeout_s", self.timeout_s, 1..=300),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                tell(key, format!("write a number from {} to {}", range.start(), range.end()));
            }
        }
        found
    }

    /// For one request.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let config: TelemetryConfig = toml::from_str(text).unwrap();
        config.check(&["k"]).into_iter().map(|(path, message)| format!("{path}: {message}")).collect()
    }

    #[test]
    fn an_address_is_enough() {
        assert_eq!(told("otlp = \"http://127.0.0.1:4318\""), [""; 0]);
        assert_eq!(told("otlp = \"https://c.example.org\"\nheaders = { authorization = \"k\" }"), [""; 0]);
        assert_eq!(told(""), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert_eq!(
            told(
                "otlp = \"http://c.example.org\"\nheaders = { \"a b\" = \"x\" }\ntrace_ratio = 2.0\nqueue = 1\n\
                 metrics_every_s = 0\n"
            ),
            [
                "telemetry.otlp: plain HTTP shows traces to the network; use https, or set allow_plain_http = true",
                "telemetry.headers: \"a b\" is no name of a header",
                "telemetry.headers: there is no [secrets.x]; add it",
                "telemetry.trace_ratio: write a number from 0 (none) to 1 (all)",
                "telemetry.queue: write a number from 512 to 1000000",
                "telemetry.metrics_every_s: write a number from 1 to 86400",
            ]
        );
    }
}

//! Figures of plugins: states, calls by outcome, how long they took, memory, quarantines.

use archipel_model::plugin_admin::{LatencyHistogram, PluginStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Labels, counter, gauge};

/// Adds them all.
pub(super) fn register(registry: &mut Registry, plugins: &[PluginStatus]) {
    let state = |plugin: &PluginStatus| {
        serde_json::to_value(plugin.state).ok().and_then(|word| word.as_str().map(str::to_owned))
    };
    let states = plugins.iter().map(|plugin| {
        (vec![("plugin", plugin.name.clone()), ("state", state(plugin).unwrap_or_default())], 1)
    });
    gauge(registry, "plugin_state", "1 for the state that a plugin is in", states.collect());
    let by_plugin = |figure: &dyn Fn(&PluginStatus) -> u64| -> Vec<(Labels, u64)> {
        plugins.iter().map(|plugin| (vec![("plugin", plugin.name.clone())], figure(plugin))).collect()
    };
    counter(
        registry,
        "plugin_quarantines",
        "Times that a plugin was sent into quarantine",
        by_plugin(&|plugin| plugin.quarantines),
    );
    let compared = plugins.iter().filter_map(|plugin| Some((plugin, plugin.shadow.as_ref()?)));
    let compared = compared.flat_map(|(plugin, shadow)| {
        [
            ("agreed", shadow.agreed),
            ("differed", shadow.differed),
            ("failed", shadow.failed),
            ("skipped", shadow.skipped),
        ]
        .map(|(result, calls)| {
            let labels = vec![
                ("plugin", plugin.name.clone()),
                ("of", shadow.of.clone()),
                ("result", result.to_owned()),
            ];
            (labels, calls)
        })
    });
    counter(
        registry,
        "plugin_shadow_calls",
        "Calls of candidates beside plugins that serve",
        compared.collect(),
    );
    let mut calls = Vec::new();
    let mut quantiles = Vec::new();
    let mut memory = Vec::new();
    let mut latencies = Vec::new();
    for plugin in plugins {
        for (function, figures) in &plugin.figures {
            let labels = || vec![("plugin", plugin.name.clone()), ("function", function.clone())];
            for (outcome, count) in &figures.calls {
                calls.push(([labels(), vec![("outcome", outcome.clone())]].concat(), *count));
            }
            for (quantile, value) in [("0.5", figures.p50_us), ("0.99", figures.p99_us)] {
                quantiles.push(([labels(), vec![("quantile", quantile.to_owned())]].concat(), value));
            }
            memory.push((labels(), figures.memory_bytes));
            latencies.push((labels(), figures.latency.clone()));
        }
    }
    counter(registry, "plugin_calls", "Calls into plugins by function and outcome", calls);
    gauge(registry, "plugin_call_microseconds", "Median and 99th percentile of the last calls", quantiles);
    gauge(
        registry,
        "plugin_memory_high_water_bytes",
        "The most linear memory that an instance had at the end of a call",
        memory,
    );
    registry.register_collector(Box::new(Latencies(latencies)));
}

/// Histograms that were counted elsewhere.
#[derive(Debug)]
struct Latencies(Vec<(Labels, LatencyHistogram)>);

impl Collector for Latencies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "plugin_call_duration_seconds",
            "Time of calls into plugins, waiting for a slot included",
            None,
            MetricType::Histogram,
        )?;
        for (labels, latency) in &self.0 {
            let buckets: Vec<(f64, u64)> = latency
                .buckets
                .iter()
                .map(|(bound, calls)| (if *bound == u64::MAX { f64::MAX } else { seconds(*bound) }, *calls))
                .collect();
            let mut metric = family.encode_family(labels)?;
            metric.encode_histogram::<NoLabelSet>(
                seconds(latency.sum_us),
                latency.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}

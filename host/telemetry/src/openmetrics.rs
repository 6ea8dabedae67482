//! From the text of `/metrics` (OpenMetrics 1.0) to OTLP metrics.
//!
//! | OpenMetrics | OTLP |
//! |---|---|
//! | counter `x` with `x_total` | monotonic cumulative sum `x` |
//! | gauge | gauge |
//! | histogram with `_bucket{le}`, `_sum`, `_count` | cumulative histogram with explicit bounds |
//! | `_seconds`, `_milliseconds`, `_bytes` at the end of a name | unit `s`, `ms`, `By` (UCUM) |
//!
//! It reads what `prometheus-client` writes, not any text: other types are left out.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric,
    number_data_point,
};

/// The time that cumulative figures are of, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A label and its value.
type Label = (String, String);

/// `name{labels} value`.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<Label>,
    value: f64,
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

/// The metrics of a text.
pub(crate) fn read(text: &str, span: Span) -> Vec<Metric> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (Some(keyword), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default();
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name: name.to_owned(), ..Family::default() });
            }
            if let Some(family) = families.last_mut() {
                match keyword {
                    "HELP" => family.help = rest.trim_end_matches('.').to_owned(),
                    "TYPE" => family.kind = rest.to_owned(),
                    _ => {}
                }
            }
        } else if let (Some(family), Some(sample)) = (families.last_mut(), sample(line)) {
            family.samples.push(sample);
        }
    }
    families.into_iter().filter_map(|family| metric(family, span)).collect()
}

fn metric(family: Family, span: Span) -> Option<Metric> {
    let data = match family.kind.as_str() {
        "counter" => metric::Data::Sum(Sum {
            data_points: points(&family.samples, span),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        "gauge" => metric::Data::Gauge(Gauge { data_points: points(&family.samples, span) }),
        "histogram" => metric::Data::Histogram(Histogram {
            data_points: histograms(&family, span),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        _ => return None,
    };
    let unit = unit(&family.name).to_owned();
    Some(Metric { name: family.name, description: family.help, unit, data: Some(data), metadata: Vec::new() })
}

fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("milliseconds") => "ms",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn points(samples: &[Sample], span: Span) -> Vec<NumberDataPoint> {
    let point = |sample: &Sample| NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    samples.iter().map(point).collect()
}

fn histograms(family: &Family, span: Span) -> Vec<HistogramDataPoint> {
    // By the labels without `le`; buckets come in the order of their bounds.
    let mut found: BTreeMap<Vec<Label>, HistogramDataPoint> = BTreeMap::new();
    for sample in &family.samples {
        let Some(part) = sample.name.strip_prefix(&family.name) else { continue };
        let mut labels = sample.labels.clone();
        let le = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let point = found.entry(labels).or_insert_with_key(|labels| HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: span.start,
            time_unix_nano: span.end,
            ..HistogramDataPoint::default()
        });
        match (part, le.as_deref()) {
            ("_sum", _) => point.sum = Some(sample.value),
            ("_count", _) => point.count = whole(sample.value),
            ("_bucket", Some(le)) => {
                let before: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(whole(sample.value).saturating_sub(before));
                // The last has no bound: what is above all others.
                point.explicit_bounds.extend(le.parse::<f64>().ok().filter(|bound| bound.is_finite()));
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    let attribute = |(name, value): &Label| KeyValue {
        key: name.clone(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) }),
        ..KeyValue::default()
    };
    labels.iter().map(attribute).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// `a="b",c="d"} rest`, where values escape `\`, `"` and the end of a line.
fn labels(text: &str) -> Option<(Vec<Label>, &str)> {
    let mut labels = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after.get(end..)?.strip_prefix('"')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP archipel_http_requests Requests by route and status.
# TYPE archipel_http_requests counter
archipel_http_requests_total{method=\"GET\",route=\"/v1/orders/{id}\",status=\"200\"} 3
archipel_http_requests_total{method=\"GET\",route=\"a\\\"b\\\\c\\nd\",status=\"404\"} 1
# HELP archipel_http_request_duration_seconds Time.
# TYPE archipel_http_request_duration_seconds histogram
archipel_http_request_duration_seconds_sum{route=\"x\"} 2.5
archipel_http_request_duration_seconds_count{route=\"x\"} 4
archipel_http_request_duration_seconds_bucket{le=\"0.5\",route=\"x\"} 1
archipel_http_request_duration_seconds_bucket{le=\"1.0\",route=\"x\"} 3
archipel_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"x\"} 4
# HELP archipel_ready Ready.
# TYPE archipel_ready gauge
archipel_ready 1
# HELP archipel_build Not a number.
# TYPE archipel_build info
archipel_build_info{version=\"1\"} 1
# EOF
";

    fn metrics() -> Vec<Metric> {
        read(TEXT, Span { start: 1, end: 2 })
    }

    #[test]
    fn counters_and_gauges_keep_their_labels() {
        let found = metrics();
        assert_eq!(found.len(), 3, "an info is no figure");
        assert_eq!(
            (found[0].name.as_str(), found[0].description.as_str()),
            ("archipel_http_requests", "Requests by route and status")
        );
        let Some(metric::Data::Sum(sum)) = &found[0].data else { panic!("{:?}", found[0]) };
        assert!(sum.is_monotonic);
        let of = |point: &NumberDataPoint, at: usize| {
            let Some(AnyValue { value: Some(any_value::Value::StringValue(value)) }) =
                &point.attributes[at].value
            else {
                panic!()
            };
            (point.attributes[at].key.clone(), value.clone())
        };
        assert_eq!(of(&sum.data_points[0], 1), ("route".to_owned(), "/v1/orders/{id}".to_owned()));
        assert_eq!(of(&sum.data_points[1], 1).1, "a\"b\\c\nd");
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(3.0)));
        assert_eq!((sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano), (1, 2));
        assert!(matches!(&found[2].data, Some(metric::Data::Gauge(gauge)) if gauge.data_points.len() == 1));
    }

    #[test]
    fn buckets_are_counted_each_for_itself() {
        let found = metrics();
        let Some(metric::Data::Histogram(histogram)) = &found[1].data else { panic!("{:?}", found[1]) };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(2.5)));
        assert_eq!(point.bucket_counts, [1, 2, 1]);
        assert_eq!(point.explicit_bounds, [0.5, 1.0]);
        assert_eq!(found[1].unit, "s");
        assert_eq!(point.attributes.len(), 1, "le is no attribute");
    }
}

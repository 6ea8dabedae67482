//! `archipel:benchmark/{broker,measure}`: what a scenario may do. Outside a run there is none of it, and a typed refusal says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_bindings::handles::Span;
use archipel_bindings::latest::archipel::benchmark::{broker, measure};
use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::benchmark::{Broker, BrokerOrder, MetricRecord, SpanRecord};
use archipel_model::order::{Kind, State};
use archipel_model::power::PowerAction;
use archipel_model::{Error, OrderId};
use serde_json::{Map, Value};
use wasmtime::bail;
use wasmtime::component::Resource;

use super::errors::{by, to_wit};
use super::state::CallState;

/// Spans of one iteration.
const SPANS: usize = 1_000;
/// Metrics of one iteration.
const METRICS: usize = 1_000;
/// Attributes of one span.
const ATTRIBUTES: usize = 16;
/// Bytes of a name, a value or a unit.
const WORD: usize = 256;
/// States that one wait names.
const STATES: usize = 16;

/// What a run keeps while an iteration lasts.
pub(crate) struct Measured {
    broker: Arc<dyn Broker>,
    began: Instant,
    spans: Vec<(Instant, SpanRecord)>,
    metrics: Vec<MetricRecord>,
}

impl Measured {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, began: Instant::now(), spans: Vec::new(), metrics: Vec::new() }
    }

    /// An iteration begins.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
        self.spans.clear();
        self.metrics.clear();
    }

    /// It is over.
    pub(crate) fn take(&mut self) -> (Vec<SpanRecord>, Vec<MetricRecord>) {
        let spans = std::mem::take(&mut self.spans).into_iter().map(|(_, span)| span).collect();
        (spans, std::mem::take(&mut self.metrics))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A word as it is kept: short, without control characters.
fn word(text: &str) -> String {
    crate::convert::message(text, WORD)
}

impl CallState {
    fn broker(&self) -> Result<Arc<dyn Broker>, Error> {
        let broker = self.measured.as_ref().map(|measured| Arc::clone(&measured.broker));
        broker.ok_or_else(|| Error::forbidden("the broker is there in a benchmark's run alone"))
    }

    /// Whom a verb goes to, and by when it must be done.
    fn asked(&self) -> (Instant, Result<Arc<dyn Broker>, Error>) {
        (self.call.deadline, self.broker())
    }
}

/// One verb of the broker.
async fn verb<F>(
    asked: (Instant, Result<Arc<dyn Broker>, Error>),
    verb: impl FnOnce(Arc<dyn Broker>) -> Result<F, Error> + Send,
) -> Result<broker::Order, WitError>
where
    F: Future<Output = Result<BrokerOrder, Error>> + Send,
{
    let (deadline, broker) = asked;
    let work = async { verb(broker?)?.await };
    by(deadline, work).await.map(order).map_err(to_wit)
}

fn order(order: BrokerOrder) -> broker::Order {
    broker::Order {
        id: order.id.to_string(),
        kind: order.kind.as_str().to_owned(),
        state: order.state.as_str().to_owned(),
        fault: order.fault,
        instance_id: order.instance_id,
        addresses: order.addresses,
    }
}

fn states(words: &[String]) -> Result<Vec<State>, Error> {
    if words.is_empty() || words.len() > STATES {
        return Err(Error::invalid(format!("a wait names 1 to {STATES} states")));
    }
    words.iter().map(|word| word.parse()).collect()
}

impl broker::Host for CallState {
    async fn create(
        &mut self,
        kind: String,
        spec: String,
    ) -> wasmtime::Result<Result<broker::Order, WitError>> {
        let read = || -> Result<(Kind, Map<String, Value>), Error> {
            let spec =
                serde_json::from_str(&spec).map_err(|error| Error::invalid(format!("spec: {error}")))?;
            Ok((kind.parse()?, spec))
        };
        Ok(verb(self.asked(), |broker| {
            let (kind, spec) = read()?;
            Ok(async move { broker.create(kind, spec).await })
        })
        .await)
    }

    async fn get(&mut self, id: String) -> wasmtime::Result<Result<broker::Order, WitError>> {
        Ok(verb(self.asked(), |broker| {
            let id: OrderId = id.parse()?;
            Ok(async move { broker.get(id).await })
        })
        .await)
    }

    async fn wait(
        &mut self,
        id: String,
        wanted: Vec<String>,
        timeout_ms: u64,
    ) -> wasmtime::Result<Result<broker::Order, WitError>> {
        Ok(verb(self.asked(), |broker| {
            let (id, wanted): (OrderId, _) = (id.parse()?, states(&wanted)?);
            Ok(async move { broker.wait(id, &wanted, Duration::from_millis(timeout_ms)).await })
        })
        .await)
    }

    async fn act(&mut self, id: String, action: String) -> wasmtime::Result<Result<broker::Order, WitError>> {
        Ok(verb(self.asked(), |broker| {
            let (id, action): (OrderId, PowerAction) = (id.parse()?, action.parse()?);
            Ok(async move { broker.act(id, action).await })
        })
        .await)
    }

    async fn delete(&mut self, id: String) -> wasmtime::Result<Result<broker::Order, WitError>> {
        Ok(verb(self.asked(), |broker| {
            let id: OrderId = id.parse()?;
            Ok(async move { broker.delete(id).await })
        })
        .await)
    }
}

impl measure::HostSpan for CallState {
    async fn new(&mut self, name: String) -> wasmtime::Result<Resource<Span>> {
        let Some(measured) = &mut self.measured else {
            return Ok(self.table.push(Span { index: usize::MAX })?);
        };
        let index = measured.spans.len();
        if index >= SPANS {
            bail!("more than {SPANS} spans in one iteration");
        }
        let record = SpanRecord {
            name: word(&name),
            began_us: micros(measured.began.elapsed()),
            took_us: None,
            attributes: Vec::new(),
        };
        measured.spans.push((Instant::now(), record));
        Ok(self.table.push(Span { index })?)
    }

    async fn attribute(&mut self, span: Resource<Span>, name: String, value: String) -> wasmtime::Result<()> {
        let index = self.table.get(&span)?.index;
        let kept = self.measured.as_mut().and_then(|measured| measured.spans.get_mut(index));
        if let Some((_, record)) = kept.filter(|(_, record)| record.attributes.len() < ATTRIBUTES) {
            record.attributes.push((word(&name), word(&value)));
        }
        Ok(())
    }

    async fn end(&mut self, span: Resource<Span>) -> wasmtime::Result<()> {
        let row = *self.table.get(&span)?;
        self.end_span(row);
        Ok(())
    }

    async fn drop(&mut self, span: Resource<Span>) -> wasmtime::Result<()> {
        let row = self.table.delete(span)?;
        self.end_span(row);
        Ok(())
    }
}

impl CallState {
    /// Ends a span; one that has ended stays as it is.
    fn end_span(&mut self, row: Span) {
        let kept = self.measured.as_mut().and_then(|measured| measured.spans.get_mut(row.index));
        if let Some((began, record)) = kept {
            record.took_us.get_or_insert_with(|| micros(began.elapsed()));
        }
    }
}

impl measure::Host for CallState {
    async fn metric(&mut self, name: String, value: f64, unit: String) -> wasmtime::Result<()> {
        let Some(measured) = &mut self.measured else { return Ok(()) };
        if measured.metrics.len() >= METRICS {
            bail!("more than {METRICS} metrics in one iteration");
        }
        if !value.is_finite() {
            bail!("metric {:?} is no number", word(&name));
        }
        measured.metrics.push(MetricRecord { name: word(&name), value, unit: word(&unit) });
        Ok(())
    }
}

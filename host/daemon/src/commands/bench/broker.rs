//! The broker's verbs over REST, as the service principal `monitor`. Every order of a run carries its label and a lease.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_client::{Client, ClientError};
use archipel_model::benchmark::{Broker, BrokerOrder};
use archipel_model::order::{Kind, State};
use archipel_model::power::PowerAction;
use archipel_model::{Error, ErrorKind, OrderId};
use async_trait::async_trait;
use http::Method;
use serde_json::{Map, Value, json};

/// Who orders.
const AS_MONITOR: (&str, &str) = ("archipel-principal", "monitor");

/// The label of a run's orders.
const LABEL: &str = "archipel-benchmark";

/// What an order of a run may live when nobody is left to delete it.
const LEASE_S: u32 = 6 * 3600;

/// The longest `Prefer: wait`.
const LOOK: Duration = Duration::from_secs(10);

/// The broker of one run.
pub(super) struct RestBroker {
    client: Client,
    cloud: String,
    run: String,
    made: Mutex<Vec<OrderId>>,
}

/// What the cleaning came to.
pub(super) struct Cleaned {
    /// Orders of the run.
    pub(super) ordered: usize,
    /// Of them, those that it had left standing.
    pub(super) deleted: usize,
    /// Of those, the ones that were not closed in time; their leases end them.
    pub(super) left: Vec<OrderId>,
}

impl RestBroker {
    pub(super) fn new(client: Client, cloud: &str) -> Self {
        // An order's id is as good a name for a run as any: it sorts by time.
        Self { client, cloud: cloud.to_owned(), run: OrderId::generate().to_string(), made: Mutex::default() }
    }

    /// The run's name, which its orders carry as a label.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    fn made(&self) -> Vec<OrderId> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Only orders of the run are seen.
    fn own(&self, id: OrderId) -> Result<OrderId, Error> {
        if self.made().contains(&id) { Ok(id) } else { Err(Error::not_found("this run made no such order")) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let mut headers = vec![AS_MONITOR];
        headers.extend_from_slice(more);
        let answer = self.client.send(method, path, &headers, body).await.map_err(|error| told(&error))?;
        if answer.status() == 304 || answer.status() == 204 {
            return Ok(Value::Null);
        }
        answer.success().map_err(|error| told(&error))
    }

    async fn look(&self, id: OrderId) -> Result<BrokerOrder, Error> {
        order(&self.send(Method::GET, &format!("/v1/orders/{id}"), &[], None).await?)
    }

    async fn until(&self, id: OrderId, states: &[State], most: Duration) -> Result<BrokerOrder, Error> {
        let end = Instant::now() + most;
        let path = format!("/v1/orders/{id}");
        let mut etag: Option<String> = None;
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(LOOK);
            let wait = format!("wait={}", left.as_secs());
            let mut headers = vec![AS_MONITOR];
            if let Some(etag) = &etag {
                headers.extend([("if-none-match", etag.as_str()), ("prefer", wait.as_str())]);
            }
            let answer =
                self.client.send(Method::GET, &path, &headers, None).await.map_err(|error| told(&error))?;
            if answer.status() != 304 {
                etag = answer.header("etag").map(str::to_owned);
                let now = order(&answer.success().map_err(|error| told(&error))?)?;
                if states.contains(&now.state) {
                    return Ok(now);
                }
                // From here it goes nowhere by itself.
                if now.state.is_settled() {
                    let why = now.fault.map(|fault| format!(": {fault}")).unwrap_or_default();
                    return Err(Error::conflict(format!("the order is {}{why}", now.state.as_str())));
                }
            }
            if Instant::now() >= end {
                return Err(Error::transient("the order is not there yet; its time is up"));
            }
        }
    }

    /// Deletes what the run left standing, and waits until it is gone.
    ///
    /// # Errors
    /// When the site does not answer any more.
    pub(super) async fn clean(&self, most: Duration) -> Result<Cleaned, ClientError> {
        let (mut deleted, mut left) = (Vec::new(), Vec::new());
        // What rests on others was made after them.
        for id in self.made().into_iter().rev() {
            if self.look(id).await.is_ok_and(|order| order.state == State::Closed) {
                continue;
            }
            deleted.push(id);
            let path = format!("/v1/orders/{id}?cascade=true");
            self.client.send(Method::DELETE, &path, &[AS_MONITOR, ("if-match", "*")], None).await?;
        }
        let end = Instant::now() + most;
        for id in &deleted {
            let rest = end.saturating_duration_since(Instant::now());
            if self.until(*id, &[State::Closed], rest).await.is_err() {
                left.push(*id);
            }
        }
        Ok(Cleaned { ordered: self.made().len(), deleted: deleted.len(), left })
    }
}

#[async_trait]
impl Broker for RestBroker {
    async fn create(&self, kind: Kind, spec: Map<String, Value>) -> Result<BrokerOrder, Error> {
        let mut body = spec;
        body.insert("cloud".to_owned(), self.cloud.clone().into());
        body.insert("labels".to_owned(), json!({LABEL: self.run}));
        body.insert("lease".to_owned(), json!({"duration_s": LEASE_S}));
        let path = format!("/v1/{}", kind.collection());
        let made = order(&self.send(Method::POST, &path, &[], Some(&Value::Object(body))).await?)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(made.id);
        Ok(made)
    }

    async fn get(&self, id: OrderId) -> Result<BrokerOrder, Error> {
        self.look(self.own(id)?).await
    }

    async fn wait(&self, id: OrderId, states: &[State], most: Duration) -> Result<BrokerOrder, Error> {
        self.until(self.own(id)?, states, most).await
    }

    async fn act(&self, id: OrderId, action: PowerAction) -> Result<BrokerOrder, Error> {
        let path = format!("/v1/orders/{}/actions/{action}", self.own(id)?);
        self.send(Method::POST, &path, &[("if-match", "*")], Some(&json!({}))).await?;
        self.look(id).await
    }

    async fn delete(&self, id: OrderId) -> Result<BrokerOrder, Error> {
        let path = format!("/v1/orders/{}", self.own(id)?);
        self.send(Method::DELETE, &path, &[("if-match", "*")], None).await?;
        self.look(id).await
    }
}

/// An order as a scenario sees it.
fn order(value: &Value) -> Result<BrokerOrder, Error> {
    let word = |name: &str| value.get(name).and_then(Value::as_str);
    let odd = || Error::internal("the site's answer is no order");
    let instance = value.get("instance");
    let addresses = instance.and_then(|instance| instance.get("addresses")).and_then(Value::as_array);
    Ok(BrokerOrder {
        id: word("id").ok_or_else(odd)?.parse()?,
        kind: word("kind").ok_or_else(odd)?.parse()?,
        state: word("state").ok_or_else(odd)?.parse()?,
        fault: value.pointer("/fault/message").and_then(Value::as_str).map(str::to_owned),
        instance_id: instance
            .and_then(|instance| instance.get("id"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        addresses: addresses.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

/// A refusal of the site in the words that a scenario gets.
fn told(error: &ClientError) -> Error {
    let ClientError::Refused(refused) = error else { return Error::transient(error.to_string()) };
    let kind = match refused.status {
        400 | 422 => ErrorKind::Invalid,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        501 => ErrorKind::Unsupported,
        429 | 503 => ErrorKind::Transient,
        _ => ErrorKind::Permanent,
    };
    Error::new(kind, refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_the_interface_writes_it() {
        let id = OrderId::generate();
        let value = json!({
            "id": id.to_string(), "kind": "compute", "state": "fulfilled", "fault": null,
            "instance": {"id": "i-7", "addresses": ["10.0.0.7"]},
        });
        let read = order(&value).unwrap();
        assert_eq!((read.id, read.state, read.instance_id.as_deref()), (id, State::Fulfilled, Some("i-7")));
        assert_eq!(read.addresses, ["10.0.0.7"]);
        assert!(order(&json!({"id": id.to_string(), "kind": "compute", "state": "levitating"})).is_err());
    }
}

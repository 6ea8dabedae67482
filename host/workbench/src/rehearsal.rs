//! The broker of a rehearsal: orders that become what they are asked to become, or do not, at once. What a scenario does with
//! either is what is tried; how long things take is for real clouds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use archipel_model::benchmark::{Broker, BrokerOrder};
use archipel_model::order::{Kind, State};
use archipel_model::power::PowerAction;
use archipel_model::{Error, ErrorKind, OrderId};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// How the cloud is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Everything works.
    Well,
    /// Nothing more may be ordered.
    Full,
    /// What is ordered never becomes ready.
    Stuck,
}

/// A cloud for one run.
pub(crate) struct Rehearsal {
    mood: Mood,
    orders: Mutex<BTreeMap<OrderId, BrokerOrder>>,
}

impl Rehearsal {
    pub(crate) fn new(mood: Mood) -> Self {
        Self { mood, orders: Mutex::default() }
    }

    /// Changes an order of this run, or only looks at it.
    fn with(&self, id: OrderId, change: impl FnOnce(&mut BrokerOrder)) -> Result<BrokerOrder, Error> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order =
            orders.get_mut(&id).ok_or_else(|| Error::not_found("there is no such order in this run"))?;
        change(order);
        Ok(order.clone())
    }
}

#[async_trait]
impl Broker for Rehearsal {
    async fn create(&self, kind: Kind, _: Map<String, Value>) -> Result<BrokerOrder, Error> {
        if self.mood == Mood::Full {
            return Err(Error::new(ErrorKind::QuotaExceeded, "the cloud is full: this is a rehearsal"));
        }
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let number = orders.len();
        let order = BrokerOrder {
            id: OrderId::generate(),
            kind,
            state: State::Open,
            fault: None,
            instance_id: Some(format!("rehearsed-{number}")),
            // RFC 5737: an address of nobody.
            addresses: if kind == Kind::Compute { vec!["192.0.2.7".to_owned()] } else { Vec::new() },
        };
        orders.insert(order.id, order.clone());
        Ok(order)
    }

    async fn get(&self, id: OrderId) -> Result<BrokerOrder, Error> {
        self.with(id, |_| {})
    }

    async fn wait(&self, id: OrderId, states: &[State], _: Duration) -> Result<BrokerOrder, Error> {
        let order = self.with(id, |order| {
            let becomes = if order.state == State::Closing { State::Closed } else { State::Fulfilled };
            let is_on_its_way = matches!(order.state, State::Open | State::Closing);
            if is_on_its_way && !(self.mood == Mood::Stuck && becomes == State::Fulfilled) {
                order.state = becomes;
            }
        })?;
        if states.contains(&order.state) {
            return Ok(order);
        }
        Err(Error::transient(format!("the order is {} still, and this is a rehearsal", order.state.as_str())))
    }

    async fn act(&self, id: OrderId, action: PowerAction) -> Result<BrokerOrder, Error> {
        self.with(id, |order| {
            order.state = match action {
                PowerAction::Pause => State::Paused,
                PowerAction::Stop => State::Stopped,
                PowerAction::Hibernate => State::Hibernated,
                PowerAction::Resume | PowerAction::Start | PowerAction::Reboot => State::Fulfilled,
            };
        })
    }

    async fn delete(&self, id: OrderId) -> Result<BrokerOrder, Error> {
        self.with(id, |order| {
            if order.state != State::Closed {
                order.state = State::Closing;
            }
        })
    }
}

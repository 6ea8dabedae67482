//! Worlds for tests: a script of answers, and orders to put to it.

use crate::account::Account;
use crate::cloud::Cloud;
use crate::config::Config;
use crate::wire::{Answer, Call, World};
use archipel_sdk::cloud::{CreateContext, Dependency, OrderRef};
use archipel_sdk::{Error, Result};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

/// What comes back.
type Scripted = Result<Answer>;

/// A world that gives its answers in order, each to the call that it expects.
#[derive(Default)]
pub(crate) struct Script {
    expected: RefCell<VecDeque<(String, Scripted)>>,
    /// The calls that came.
    pub(crate) calls: RefCell<Vec<Call>>,
    pub(crate) now_ms: Cell<u64>,
    storage: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl Script {
    /// Next comes `METHOD PATH-WITH-QUERY` (up to where `call` ends), answered so.
    pub(crate) fn answer(&self, call: &str, status: u16, body: &str) -> &Self {
        let answer = Answer { status, retry_after: None, body: body.into() };
        self.expected.borrow_mut().push_back((call.to_owned(), Ok(answer)));
        self
    }

    /// Next comes this call, and no answer.
    pub(crate) fn fail(&self, call: &str, error: Error) -> &Self {
        self.expected.borrow_mut().push_back((call.to_owned(), Err(error)));
        self
    }

    /// The JSON body of a call that came.
    pub(crate) fn body(&self, call: usize) -> serde_json::Value {
        serde_json::from_str(self.calls.borrow()[call].body.as_deref().unwrap_or("null")).unwrap()
    }

    /// Nothing more is expected.
    pub(crate) fn assert_done(&self) {
        let left: Vec<_> = self.expected.borrow().iter().map(|(call, _)| call.clone()).collect();
        assert!(left.is_empty(), "never asked: {left:?}");
    }
}

impl World for Script {
    fn send(&self, call: &Call) -> Result<Answer> {
        let asked = format!("{} {}", call.method, call.url);
        self.calls.borrow_mut().push(call.clone());
        let (expected, answer) = self
            .expected
            .borrow_mut()
            .pop_front()
            .unwrap_or_else(|| panic!("nothing more was expected than: {asked}"));
        let shown = asked.replace("http://", "");
        assert!(shown.starts_with(&expected), "expected {expected:?}, asked was {shown:?}");
        answer
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        self.storage.borrow().get(key).cloned()
    }

    fn remember(&self, key: &str, value: &[u8]) {
        self.storage.borrow_mut().insert(key.to_owned(), value.to_owned());
    }
}

thread_local! {
    static DEFAULT: &'static Config = Box::leak(Box::default());
}

/// A cloud with services `nova`, `cinder`, `neutron` and `glance`.
pub(crate) fn cloud(world: &dyn World) -> Cloud<'_> {
    let config: &'static Config = DEFAULT.with(|config| *config);
    let attributes = r#"{"openstack":{"project_id":"p1","region":"R","endpoints":{
        "compute":"http://nova/v2.1","volumev3":"http://cinder/v3/p1","network":"http://neutron","image":"http://glance"}}}"#;
    let account = Account::new(serde_json::from_str(attributes).unwrap(), config);
    Cloud { world, config, account, is_afresh: false }
}

/// An order.
pub(crate) fn order(kind: &str, spec: &str) -> OrderRef {
    let id = "01900000-0000-7000-8000-000000000001";
    OrderRef {
        id: id.into(),
        tag: format!("archipel:site-a.example.org:{id}"),
        kind: kind.into(),
        spec: spec.into(),
        dependencies: vec![],
    }
}

/// What an order rests on.
pub(crate) fn dependency(order: &str, kind: &str, instance: &str) -> Dependency {
    Dependency {
        order: order.into(),
        kind: kind.into(),
        instance_id: instance.into(),
        cloud: "c".into(),
        site: "site-a.example.org".into(),
    }
}

/// A first attempt.
pub(crate) fn context(order: &OrderRef) -> CreateContext {
    CreateContext { order: order.clone(), attempt: 1, idempotency_key: order.id.clone(), deadline_ms: 60_000 }
}

//! A store with a clock that tests turn, and orders to put into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use archipel_model::order::{DependsOn, Kind, Order, State};
use archipel_model::{Clock, FederationUser, OrderId, Owner, SiteId, Timestamp};
use archipel_orders::store::{Acceptance, Change, Limit, NewEvent};
use serde_json::json;

use crate::{Engine, MemoryEngine, SledEngine, SledOptions, Store};

pub(super) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub(super) fn at(ms: i64) -> Self {
        Self(AtomicI64::new(ms))
    }

    pub(super) fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }

    pub(super) fn turn(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

pub(super) struct Fixture {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<TestClock>,
    pub(super) engine: Arc<dyn Engine>,
    _dir: Option<tempfile::TempDir>,
}

pub(super) fn site() -> SiteId {
    "site-a.example.org".parse().unwrap()
}

async fn fixture(engine: Arc<dyn Engine>, dir: Option<tempfile::TempDir>) -> Fixture {
    let clock = Arc::new(TestClock::at(1_800_000_000_000));
    let store =
        Store::open(Arc::clone(&engine), &site(), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    Fixture { store, clock, engine, _dir: dir }
}

/// The same test on every engine.
pub(super) async fn on_every_engine<F: Future<Output = ()>>(test: impl Fn(Arc<Fixture>) -> F) {
    test(Arc::new(fixture(Arc::new(MemoryEngine::new()), None).await)).await;
    let dir = tempfile::tempdir().unwrap();
    let engine = SledEngine::open(dir.path(), SledOptions::default()).unwrap();
    let fixture = Arc::new(fixture(engine, Some(dir)).await);
    test(Arc::clone(&fixture)).await;
    fixture.engine.close().await;
}

pub(super) fn owner(name: &str) -> Owner {
    Owner { issuer: "https://idp.example.org".into(), subject: name.into() }
}

pub(super) fn user(name: &str) -> FederationUser {
    FederationUser {
        issuer: "https://idp.example.org".into(),
        subject: name.into(),
        name: name.into(),
        email: None,
        groups: vec!["physics".into()],
        entitlements: vec![],
        attributes: vec![],
        home_site: None,
        assurance: String::new(),
        authenticated_at: Timestamp::from_millis(1_800_000_000_000),
        expires_at: None,
    }
}

pub(super) fn volume(of: &str) -> Order {
    order(of, Kind::Volume, json!({"size_gib": 10}), &[])
}

pub(super) fn compute(of: &str) -> Order {
    order(of, Kind::Compute, json!({"image": "i", "vcpu": 2, "ram_mib": 512}), &[])
}

pub(super) fn attachment(of: &str, on: &[&Order]) -> Order {
    order(of, Kind::Attachment, json!({"compute": "a", "volume": "b"}), on)
}

pub(super) fn order(of: &str, kind: Kind, spec: serde_json::Value, on: &[&Order]) -> Order {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let depends_on = on.iter().map(|parent| DependsOn {
        order: parent.id,
        kind: parent.kind,
        cloud: parent.cloud.clone(),
        site: parent.site.clone(),
    });
    let cloud = "cloud-1".parse().unwrap();
    Order {
        depends_on: depends_on.collect(),
        version: 1,
        revision: 1,
        ..Order::open(OrderId::generate(), kind, spec, user(of), site(), cloud, now)
    }
}

pub(super) fn event(state: State) -> NewEvent {
    NewEvent { kind: format!("org.archipel.order.{state}.v1"), data: json!({"state": state}) }
}

pub(super) fn acceptance(order: &Order) -> Acceptance {
    Acceptance {
        order: order.clone(),
        events: vec![event(State::Open)],
        limits: vec![],
        idempotency: None,
        audit: None,
    }
}

pub(super) fn instances(counter: &str, at_most: u64) -> Limit {
    Limit { counter: counter.into(), instances: Some(at_most), vcpu: None, ram_mib: None, disk_gib: None }
}

/// The next record of an order, in another state.
pub(super) fn next(order: &mut Order, state: State) -> Change {
    order.state = state;
    order.version += 1;
    order.revision += 1;
    Change { order: order.clone(), claim: None, events: vec![event(state)], only_without_dependants: false }
}

//! A store with events in it, and publishers over it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archipel_egress::{Egress, EgressLimits, RingLedger};
use archipel_events::{EventsConfig, Publishers, Services, Writer};
use archipel_model::order::{Order, State};
use archipel_model::publisher::{PublisherAdmin, PublisherStatus};
use archipel_model::{Clock, OrderId, SystemClock};
use archipel_orders::store::{Acceptance, Change, EventQuery, NewEvent, Visible};
use archipel_store::{MemoryEngine, Store};
use archipel_vault::{SecretSource, Vault};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) store: Arc<Store>,
    services: Services,
}

/// Publishers that run.
pub(crate) struct Running {
    pub(crate) publishers: Arc<Publishers>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let site = "site-a.example.org".parse().unwrap();
        let store = Store::open(Arc::new(MemoryEngine::new()), &site, Arc::clone(&clock)).await.unwrap();
        let tls = archipel_egress::tls::client_config(None).unwrap();
        let egress = Egress::new(tls, RingLedger::new(10), Arc::clone(&clock), EgressLimits::default());
        let source = SecretSource { value: Some(SECRET.into()), ..SecretSource::default() };
        let vault = Vault::load(
            &BTreeMap::from([("hook".to_owned(), source)]),
            Path::new("."),
            &archipel_vault::KeySource::File("/none".into()),
        )
        .unwrap();
        let services = Services {
            site: site.clone(),
            log: store.orders(),
            positions: store.positions(),
            egress: Arc::new(egress),
            vault: Arc::new(vault),
            clock,
            writer: Writer::new(site, |sequence| format!("id-{sequence}")),
        };
        Self { store, services }
    }

    /// Starts publishers as `[events]` says.
    pub(crate) async fn publish(&self, events: &str) -> Running {
        let config: EventsConfig = toml::from_str(events).unwrap();
        assert_eq!(config.check(&["hook"]), []);
        let (publishers, running) = Publishers::open(&config, &self.services).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(running.run(stop.clone()));
        Running { publishers, stop, task }
    }

    /// A new order of a cloud, with its first event.
    pub(crate) async fn order(&self, cloud: &str) -> Order {
        let order = order(cloud);
        let acceptance = Acceptance {
            order: order.clone(),
            events: vec![event(&order)],
            limits: Vec::new(),
            idempotency: None,
            audit: None,
        };
        self.store.orders().accept(acceptance).await.unwrap()
    }

    /// Its next state, with an event.
    pub(crate) async fn go(&self, order: &mut Order, state: State) {
        order.state = state;
        order.version += 1;
        order.revision += 1;
        let change = Change {
            order: order.clone(),
            claim: None,
            events: vec![event(order)],
            only_without_dependants: false,
        };
        self.store.orders().change(change).await.unwrap();
    }

    /// Orders with three events each, interleaved.
    pub(crate) async fn orders(&self, count: usize) {
        let mut orders = Vec::new();
        for _ in 0..count {
            orders.push(self.order("east").await);
        }
        for state in [State::Selected, State::Fulfilled] {
            for order in &mut orders {
                self.go(order, state).await;
            }
        }
    }

    /// All that is in the log, as (id, subject), oldest first.
    pub(crate) async fn logged(&self) -> Vec<(String, String)> {
        let query = EventQuery { visible: Visible::Any, subject: None, after: None, limit: 10_000 };
        let page = self.store.orders().events(&query).await.unwrap();
        page.items.iter().map(|event| (format!("id-{}", event.sequence), event.subject.to_string())).collect()
    }
}

impl Running {
    pub(crate) fn status(&self, name: &str) -> PublisherStatus {
        self.publishers.get(name).unwrap()
    }

    /// Waits until a publisher's status is as wanted.
    pub(crate) async fn when(
        &self,
        name: &str,
        is_wanted: impl Fn(&PublisherStatus) -> bool,
    ) -> PublisherStatus {
        let waited = tokio::time::timeout(LONG, async {
            loop {
                let status = self.status(name);
                if is_wanted(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{:?}", self.status(name)))
    }

    /// Waits until a publisher has sent all of the log.
    pub(crate) async fn when_sent(&self, name: &str, site: &Site) -> PublisherStatus {
        let newest = *site.store.orders().watch_events().borrow();
        self.when(name, |status| status.position >= newest && status.waiting == 0).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Compares what arrived with what was written, both as (id, subject).
///
/// Each event is there; of each subject, the first arrivals are in the order of the log.
pub(crate) fn assert_all_in_order(logged: &[(String, String)], arrived: &[(String, String)]) {
    let mut first: Vec<&(String, String)> = Vec::new();
    for one in arrived {
        assert!(logged.contains(one), "{one:?} was never written");
        if !first.contains(&one) {
            first.push(one);
        }
    }
    assert_eq!(first.len(), logged.len(), "events are missing");
    let subjects: std::collections::BTreeSet<&String> = logged.iter().map(|(_, subject)| subject).collect();
    for subject in subjects {
        let of = |all: Vec<&(String, String)>| -> Vec<String> {
            all.iter().filter(|one| one.1 == *subject).map(|one| one.0.clone()).collect()
        };
        assert_eq!(of(first.clone()), of(logged.iter().collect()), "order {subject}");
    }
}

fn event(order: &Order) -> NewEvent {
    NewEvent {
        kind: format!("org.archipel.order.{}.v1", order.state),
        data: json!({"state": order.state, "version": order.version, "cloud": order.cloud, "kind": order.kind}),
    }
}

/// From JSON, as a store reads it: an order gains fields over time, and these tests look at none of them.
fn order(cloud: &str) -> Order {
    let now = SystemClock.now();
    serde_json::from_value(json!({
        "id": OrderId::generate(), "kind": "volume", "name": "", "spec": {"size_gib": 1},
        "user": {
            "issuer": "https://idp.example.org", "subject": "alice", "name": "alice", "groups": [], "entitlements": [],
            "attributes": [], "assurance": "", "authenticated_at": now,
        },
        "site": "site-a.example.org", "cloud": cloud, "state": "open", "waiting_for": [], "depends_on": [], "labels": {},
        "on_quota": "fail", "attempts": 0, "outcome_unknown": false, "created_at": now, "updated_at": now,
        "version": 1, "revision": 1,
    }))
    .unwrap()
}

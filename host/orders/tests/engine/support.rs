//! A site with one or two clouds, an engine over it, and hands to turn everything.

pub mod cloud;
pub mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archipel_model::order::{Kind, OnQuota, Order, State};
use archipel_model::plugin::{CreateBehaviour, InstanceDriver, PowerDriver};
use archipel_model::power::PowerAction;
use archipel_model::site::{CloudBinding, CloudState, Generation, Site, SweepPolicy};
use archipel_model::spec::{
    AttachmentSpec, ComputeSpec, CreateOrder, NetworkRef, NetworkSpec, Spec, VolumeSpec,
};
use archipel_model::{Clock, CloudName, Error, FederationUser, OrderId, SiteId, Timestamp};
use archipel_orders::store::{OrderStore, StoredAnswer, Visible};
use archipel_orders::{Created, LimitRule, Orders, OrdersConfig, Requester, Settings};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use cloud::{Accounts, Cloud};
use memory::MemoryStore;

pub const SETTLE: Duration = Duration::from_secs(20);

/// Goes with tokio's own clock, which tests turn.
pub struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(self.0.elapsed())
    }
}

pub struct OneSite(Mutex<Arc<Generation>>);

impl Site for OneSite {
    fn current(&self) -> Arc<Generation> {
        self.0.lock().unwrap().clone()
    }
}

/// What is said of a cloud's binding; `Rig::bind` makes a generation of it.
#[derive(Clone)]
pub struct Binding {
    pub name: &'static str,
    pub cloud: Arc<Cloud>,
    pub mapper: Arc<Accounts>,
    pub mapper_digest: String,
    pub concurrency: usize,
    pub state: CloudState,
    pub sweep: SweepPolicy,
    pub kinds: Vec<Kind>,
    pub has_power: bool,
    pub away: Option<String>,
}

pub struct Rig {
    pub clock: Arc<dyn Clock>,
    pub store: Arc<MemoryStore>,
    pub site: Arc<OneSite>,
    pub bindings: Vec<Binding>,
    pub orders: Arc<Orders>,
    pub limits: Vec<LimitRule>,
    pub settings: Settings,
    pub daemon: String,
    running: Option<(JoinHandle<()>, CancellationToken)>,
    number: u64,
}

impl Rig {
    /// One searchable cloud, nothing running.
    pub fn new() -> Self {
        Self::with(CreateBehaviour::Searchable, &["emulated"])
    }

    pub fn with(behaviour: CreateBehaviour, clouds: &[&'static str]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let settle = if behaviour == CreateBehaviour::Idempotent { Duration::ZERO } else { SETTLE };
        let bindings = clouds
            .iter()
            .map(|name| Binding {
                name,
                cloud: Cloud::new(clock.clone(), behaviour, settle),
                mapper: Accounts::new(clock.clone(), "team"),
                mapper_digest: "one".into(),
                concurrency: 8,
                state: CloudState::Active,
                sweep: SweepPolicy { every_s: 0, ..SweepPolicy::default() },
                kinds: Kind::ALL.to_vec(),
                has_power: true,
                away: None,
            })
            .collect();
        let site = Arc::new(OneSite(Mutex::new(Arc::new(Generation {
            number: 0,
            site: here(),
            identity: Vec::new(),
            authorization: Vec::new(),
            clouds: BTreeMap::new(),
            aaa_away: Vec::new(),
        }))));
        let store = MemoryStore::new(clock.clone());
        let orders = Orders::new(site.clone(), store.clone(), clock.clone(), config(&[], "daemon"));
        let mut rig = Self {
            clock,
            store,
            site,
            bindings,
            orders,
            limits: Vec::new(),
            settings: settings(),
            daemon: "daemon".into(),
            running: None,
            number: 0,
        };
        rig.bind();
        rig
    }

    /// With the engine running.
    pub fn started() -> Self {
        let mut rig = Self::new();
        rig.start();
        rig
    }

    pub fn cloud(&self) -> &Arc<Cloud> {
        &self.bindings[0].cloud
    }

    pub fn mapper(&self) -> &Arc<Accounts> {
        &self.bindings[0].mapper
    }

    /// Swaps in a generation made of the bindings as they are now.
    pub fn bind(&mut self) {
        self.number += 1;
        let clouds = self.bindings.iter().map(|binding| {
            let name: CloudName = binding.name.parse().unwrap();
            let driver: Arc<dyn InstanceDriver> = binding.cloud.clone();
            let cloud = CloudBinding {
                name: name.clone(),
                driver: "fake".into(),
                region: None,
                concurrency: binding.concurrency,
                state: binding.state,
                sweep: binding.sweep,
                mapper: binding.mapper.clone(),
                mapper_name: "accounts".into(),
                mapper_digest: binding.mapper_digest.clone(),
                drivers: binding.kinds.iter().map(|kind| (*kind, driver.clone())).collect(),
                power: binding.has_power.then(|| binding.cloud.clone() as Arc<dyn PowerDriver>),
                networks: None,
                quota: None,
                specs: None,
                images: None,
                away: binding.away.clone(),
            };
            (name, Arc::new(cloud))
        });
        let generation = Generation {
            number: self.number,
            site: here(),
            identity: Vec::new(),
            authorization: Vec::new(),
            clouds: clouds.collect(),
            aaa_away: Vec::new(),
        };
        *self.site.0.lock().unwrap() = Arc::new(generation);
        self.orders.wake();
    }

    pub fn start(&mut self) {
        self.orders = Orders::new(
            self.site.clone(),
            self.store.clone(),
            self.clock.clone(),
            OrdersConfig { settings: self.settings.clone(), ..config(&self.limits, &self.daemon) },
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.orders.clone().run(stop.clone()));
        self.running = Some((task, stop));
    }

    /// As `kill -9` does it: whatever is under way ends where it waits.
    pub async fn crash(&mut self) {
        if let Some((task, _)) = self.running.take() {
            task.abort();
            let _ = task.await;
        }
    }

    pub async fn stop(&mut self) {
        if let Some((task, stop)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    pub async fn create(&self, request: CreateOrder) -> Result<Order, Error> {
        self.create_as(&alice(), request).await
    }

    pub async fn create_as(&self, who: &Requester, request: CreateOrder) -> Result<Order, Error> {
        match self.orders.create(who, request, None, &answer).await? {
            Created::New(order) => Ok(order),
            Created::Replayed(answer) => panic!("replayed {answer:?}"),
        }
    }

    /// A compute that is accepted.
    pub async fn compute(&self) -> OrderId {
        self.create(compute()).await.unwrap().id
    }

    pub async fn fulfilled(&self) -> OrderId {
        let id = self.compute().await;
        self.until(id, State::Fulfilled).await;
        id
    }

    pub async fn until(&self, id: OrderId, state: State) -> Order {
        self.until_so(id, |order| order.state == state).await
    }

    /// Waits (in virtual time) until the stored order is so; an hour at most.
    pub async fn until_so(&self, id: OrderId, so: impl Fn(&Order) -> bool) -> Order {
        let end = Instant::now() + Duration::from_secs(3600);
        loop {
            let order = self.store.order(id);
            if so(&order) {
                return order;
            }
            assert!(
                Instant::now() < end,
                "it never came to be so: {order:#?}\n{:?}",
                self.store.event_words(id)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn order(&self, id: OrderId) -> Order {
        self.store.order(id)
    }

    pub fn events(&self, id: OrderId) -> Vec<String> {
        self.store.event_words(id)
    }

    pub async fn delete(&self, id: OrderId) -> archipel_orders::Deletion {
        self.orders.delete(id, None, false, false).await.unwrap()
    }

    pub async fn act(&self, id: OrderId, action: PowerAction) -> Result<Order, Error> {
        self.orders.act(id, None, action).await
    }

    /// The store as the engine sees it.
    pub fn as_store(&self) -> &dyn OrderStore {
        self.store.as_ref()
    }
}

pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub fn here() -> SiteId {
    "site-a.example.org".parse().unwrap()
}

pub fn config(limits: &[LimitRule], daemon: &str) -> OrdersConfig {
    OrdersConfig { site: here(), daemon: daemon.to_owned(), limits: limits.to_vec(), settings: settings() }
}

fn settings() -> Settings {
    Settings { spread_ms: 1_000, ..Settings::default() }
}

pub fn user(subject: &str, groups: &[&str]) -> FederationUser {
    FederationUser {
        issuer: "local".into(),
        subject: subject.into(),
        name: subject.into(),
        email: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        entitlements: Vec::new(),
        attributes: Vec::new(),
        home_site: None,
        assurance: String::new(),
        authenticated_at: Timestamp::from_millis(0),
        expires_at: None,
    }
}

pub fn requester(subject: &str, groups: &[&str]) -> Requester {
    let user = user(subject, groups);
    Requester {
        visible: Visible::Own(user.owner()),
        user,
        group: None,
        max_lease_s: None,
        add_labels: BTreeMap::new(),
        session: None,
        request_id: "test".into(),
        client_address: None,
        audit: None,
    }
}

pub fn alice() -> Requester {
    requester("alice", &["physics"])
}

pub fn order_of(spec: Spec) -> CreateOrder {
    CreateOrder {
        spec,
        name: String::new(),
        cloud: Some("emulated".into()),
        site: None,
        group: None,
        labels: BTreeMap::new(),
        lease: None,
        deadline: None,
        on_quota: OnQuota::Fail,
    }
}

pub fn compute() -> CreateOrder {
    let spec =
        ComputeSpec { image: "@debian".into(), vcpu: Some(2), ram_mib: Some(2048), ..ComputeSpec::default() };
    order_of(Spec::Compute(spec))
}

pub fn compute_on(network: impl ToString) -> CreateOrder {
    order_of(Spec::Compute(ComputeSpec {
        image: "@debian".into(),
        networks: vec![NetworkRef::Order(network.to_string())],
        ..ComputeSpec::default()
    }))
}

pub fn volume() -> CreateOrder {
    order_of(Spec::Volume(VolumeSpec { size_gib: 10, ..VolumeSpec::default() }))
}

pub fn network() -> CreateOrder {
    order_of(Spec::Network(NetworkSpec { cidr: "10.0.0.0/24".into(), ..NetworkSpec::default() }))
}

pub fn attachment(compute: impl ToString, volume: impl ToString) -> CreateOrder {
    order_of(Spec::Attachment(AttachmentSpec {
        compute: compute.to_string(),
        volume: volume.to_string(),
        device: None,
    }))
}

pub fn answer(order: &Order) -> StoredAnswer {
    StoredAnswer { status: 201, headers: Vec::new(), body: order.id.to_string() }
}

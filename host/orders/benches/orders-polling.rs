//! P5: how long one round of polls takes, over what the cloud's own latency and concurrency make of it.
//!
//! | | what is measured | over | goal |
//! |---|---|---|---|
//! | P5a | 10,000 instances looked at one by one | N × latency / concurrency | ≤ 1.1 |
//! | P5b | the same by `list-instances` | the same | ≤ 0.05 |
//! | P5a-hang, P5b-hang | each beside a second cloud that hangs | the same without it | ≤ 1.05 |
//!
//! The engine is the real one, from a start (claiming, loading and all) to the moment when every instance has been looked at.
//! Around it everything is plain Rust in memory: the store of the engine's own tests, and a driver that answers each call, and
//! each page of 500, after 50 ms. All instances are of one account, so a list's pages come one after another: the worst case.
//! `ARCHIPEL_BENCH_INSTANCES` makes N smaller, to see it work.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot measure has nothing to say"
)]
#![expect(unreachable_pub, reason = "the store is shared with the engine's tests")]

#[path = "../tests/engine/support/memory.rs"]
#[expect(dead_code, reason = "the engine's tests use more of it")]
mod memory;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_model::order::{Allocation, Instance, Kind, Order, State, Status};
use archipel_model::plugin::{
    Context, CreateBehaviour, CreateContext, Created, DriverDescriptor, InstanceDriver, InstanceView, Mapper,
    Observed, OrderRef, Tagged, TaggedPage,
};
use archipel_model::site::{CloudBinding, CloudState, Generation, Site, SweepPolicy};
use archipel_model::{
    Clock, CloudName, Error, FederationUser, LocalToken, OrderId, SecretBytes, SiteId, SystemClock,
};
use archipel_orders::store::{Acceptance, OrderStore};
use archipel_orders::{Orders, OrdersConfig, Settings};
use async_trait::async_trait;
use memory::MemoryStore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const LATENCY: Duration = Duration::from_millis(50);
const CONCURRENCY: usize = 16;
const PAGE: usize = 500;
/// Orders of the cloud that hangs.
const HANGING: usize = 1_000;
/// Runs of which the median is taken.
const TURNS: usize = 5;

fn main() {
    let instances =
        std::env::var("ARCHIPEL_BENCH_INSTANCES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ideal = LATENCY.as_secs_f64() * instances as f64 / CONCURRENCY as f64;
    for (id, by_list, turns, goal) in [("P5a", false, 1, "<=1.1"), ("P5b", true, TURNS, "<=0.05")] {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            alone.push(tokio.block_on(round(instances, by_list, false)));
            beside.push(tokio.block_on(round(instances, by_list, true)));
        }
        let (alone, beside) = (median(alone), median(beside));
        let how = if by_list { "by list-instances" } else { "one by one" };
        row(
            id,
            &format!("{instances} instances polled {how}, over N x latency / concurrency"),
            alone,
            ideal,
            goal,
        );
        let what = format!("the same beside a cloud that hangs, over without it ({how})");
        row(&format!("{id}-hang"), &what, beside, alone, "<=1.05");
    }
}

fn row(id: &str, what: &str, ours: f64, baseline: f64, goal: &str) {
    let row = json!({"id": id, "what": what, "ours": ours, "baseline": baseline, "unit": "s", "goal": goal});
    println!("archipel-bench: {row}");
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_unstable_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds from a start until every instance has been looked at.
async fn round(instances: usize, by_list: bool, beside_one_that_hangs: bool) -> f64 {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = MemoryStore::new(clock.clone());
    let (cloud, hangs): (CloudName, CloudName) = ("emulated".parse().unwrap(), "hangs".parse().unwrap());
    let mut clouds = BTreeMap::new();
    let held = fill(&store, &cloud, instances).await;
    clouds.insert(cloud.clone(), binding(&cloud, Driver { instances: held, by_list, hangs: false }));
    if beside_one_that_hangs {
        let held = fill(&store, &hangs, HANGING).await;
        clouds.insert(hangs.clone(), binding(&hangs, Driver { instances: held, by_list, hangs: true }));
    }
    let generation = Generation {
        number: 1,
        site: here(),
        identity: Vec::new(),
        authorization: Vec::new(),
        clouds,
        aaa_away: Vec::new(),
    };
    // Everything is due at once, and nothing a second time before the end.
    let settings = Settings { spread_ms: 0, poll_steady_ms: 3_600_000, ..Settings::default() };
    let config = OrdersConfig { site: here(), daemon: "bench".into(), limits: Vec::new(), settings };
    let orders = Orders::new(Arc::new(OneSite(Arc::new(generation))), store, clock, config);
    let stop = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(orders.clone().run(stop.clone()));
    let took = loop {
        let figures = orders.figures();
        let polls = figures.queues.get(&cloud).map(|queue| queue.polls).unwrap_or_default();
        if polls.looks + polls.spared >= instances as u64 {
            assert_eq!(polls.looks + polls.spared, instances as u64, "each is looked at once");
            assert_eq!(polls.spared > polls.looks, by_list, "{polls:?}");
            break began.elapsed().as_secs_f64();
        }
        assert!(began.elapsed() < Duration::from_secs(600), "it does not end: {polls:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    stop.cancel();
    running.abort();
    let _ = running.await;
    took
}

fn here() -> SiteId {
    "site-a.example.org".parse().unwrap()
}

/// Fulfilled orders of one account, with what the cloud holds of them.
async fn fill(store: &MemoryStore, cloud: &CloudName, many: usize) -> Held {
    let mut held = Held::default();
    for number in 0..many {
        let order = fulfilled(cloud, number);
        if let Some(instance) = &order.instance {
            let view = InstanceView {
                id: instance.id.clone(),
                status: instance.status,
                cloud_state: instance.cloud_state.clone(),
                fault: None,
                allocation: instance.allocation,
                addresses: instance.addresses.clone(),
                poll_after: None,
            };
            held.by_id.insert(view.id.clone(), held.all.len());
            held.all.push(Tagged {
                tag: order.tag(),
                instance: view,
                created_at: Some(order.created_at),
                driver_state: String::new(),
            });
        }
        let acceptance =
            Acceptance { order, events: Vec::new(), limits: Vec::new(), idempotency: None, audit: None };
        store.accept(acceptance).await.unwrap();
    }
    held
}

fn fulfilled(cloud: &CloudName, number: usize) -> Order {
    let now = SystemClock.now();
    let user = FederationUser {
        issuer: "https://idp.example.org".into(),
        subject: format!("user-{}", number % 100),
        name: "A User".into(),
        email: None,
        groups: vec!["physics".into()],
        entitlements: Vec::new(),
        attributes: Vec::new(),
        home_site: None,
        assurance: String::new(),
        authenticated_at: now,
        expires_at: None,
    };
    let spec = json!({"image": "debian-12", "vcpu": 2, "ram_mib": 2048, "disk_gib": 20});
    Order {
        name: "worker".into(),
        group: Some("physics".into()),
        local_account: Some("physics".into()),
        state: State::Fulfilled,
        instance: Some(Instance {
            id: format!("vm-{number}"),
            status: Status::Ready,
            cloud_state: "ACTIVE".into(),
            addresses: vec!["10.0.0.7".into()],
            allocation: Allocation { vcpu: Some(2), ram_mib: Some(2048), disk_gib: Some(20) },
            observed_at: Some(now),
            driver_state: String::new(),
        }),
        requested_at: Some(now),
        attempts: 1,
        version: 4,
        revision: 4,
        ..Order::open(OrderId::generate(), Kind::Compute, spec, user, here(), cloud.clone(), now)
    }
}

struct OneSite(Arc<Generation>);

impl Site for OneSite {
    fn current(&self) -> Arc<Generation> {
        self.0.clone()
    }
}

fn binding(name: &CloudName, driver: Driver) -> Arc<CloudBinding> {
    let driver: Arc<dyn InstanceDriver> = Arc::new(driver);
    Arc::new(CloudBinding {
        name: name.clone(),
        driver: "bench".into(),
        region: None,
        concurrency: CONCURRENCY,
        state: CloudState::Active,
        sweep: SweepPolicy::default(),
        mapper: Arc::new(OneAccount),
        mapper_name: "one".into(),
        mapper_digest: "one".into(),
        drivers: BTreeMap::from([(Kind::Compute, driver)]),
        power: None,
        networks: None,
        quota: None,
        specs: None,
        images: None,
        away: None,
    })
}

/// What a cloud holds.
#[derive(Default)]
struct Held {
    all: Vec<Tagged>,
    by_id: HashMap<String, usize>,
}

/// A cloud with nothing but latency.
struct Driver {
    instances: Held,
    by_list: bool,
    hangs: bool,
}

impl Driver {
    async fn answer(&self) {
        match self.hangs {
            true => std::future::pending().await,
            false => tokio::time::sleep(LATENCY).await,
        }
    }
}

#[async_trait]
impl InstanceDriver for Driver {
    fn descriptor(&self) -> DriverDescriptor {
        DriverDescriptor { create: CreateBehaviour::Searchable, settle: Duration::from_secs(10) }
    }

    async fn request_instance(&self, _: &CreateContext, _: &LocalToken) -> Result<Created, Error> {
        Err(Error::unsupported("nothing is made here"))
    }

    async fn get_instance(&self, id: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<Observed, Error> {
        self.answer().await;
        let known = self.instances.by_id.get(id).and_then(|at| self.instances.all.get(*at));
        Ok(known.map_or(Observed::Gone, |tagged| Observed::Present(tagged.instance.clone())))
    }

    async fn delete_instance(&self, _: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<(), Error> {
        Err(Error::unsupported("nothing is deleted here"))
    }

    async fn find_instances(&self, _: &OrderRef, _: &LocalToken) -> Result<Vec<Tagged>, Error> {
        Err(Error::unsupported("nothing is searched here"))
    }

    async fn list_instances(&self, _: &LocalToken, cursor: Option<&str>) -> Result<TaggedPage, Error> {
        if !self.by_list {
            return Err(Error::unsupported("this one cannot list"));
        }
        self.answer().await;
        let from = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let items: Vec<Tagged> = self.instances.all.iter().skip(from).take(PAGE).cloned().collect();
        let next = Some(from + items.len()).filter(|next| *next < self.instances.all.len());
        Ok(TaggedPage { items, next: next.map(|next| next.to_string()) })
    }
}

/// Everybody's account.
struct OneAccount;

#[async_trait]
impl Mapper for OneAccount {
    async fn map_user(&self, _: &FederationUser, _: &str, _: &Context) -> Result<String, Error> {
        Ok("physics".into())
    }

    async fn get_token(
        &self,
        account: &str,
        _: &str,
        _: &Context,
        _: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        Ok(LocalToken {
            account: account.into(),
            secret: None,
            expires_at: None,
            attributes: "{}".into(),
            made_by: "one".into(),
        })
    }
}

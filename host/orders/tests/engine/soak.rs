//! Thirty days in virtual time over the real store's rules: orders come, live on leases, and go; the cloud has outages and
//! loses answers, the daemon is killed every day and stopped every third. Nothing may grow, nothing may drift:
//! memory and the store are as large at the end as in the third week, leases end on the thirtieth day as promptly as on
//! the first, looks at the cloud stay as frequent, and what was metered is what the cloud says that it ran.

use std::sync::Arc;
use std::time::Duration;

use archipel_model::order::{State, Status};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::spec::{CreateOrder, LeaseRequest};
use archipel_model::{Clock, CloudName, Error, OrderId, Timestamp};
use archipel_orders::amounts::user_counter;
use archipel_orders::store::{OrderQuery, Visible};
use archipel_orders::usage::UsageQuery;
use archipel_orders::{Created, LimitRule, Orders, OrdersConfig, Settings};
use archipel_store::{MemoryEngine, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::cloud::{Cloud, Fault};
use crate::support::{OneSite, Rig, alice, answer, compute, config, here, volume};

const DAYS: u64 = 30;
const HOUR: Duration = Duration::from_secs(3600);
/// Orders that come in an hour; their leases are of 10 minutes to 5 hours, so some 30 are alive.
const AN_HOUR: usize = 12;
/// Closed orders and events are kept so long, so that the store is as large after a week as it will ever be.
const KEPT: Duration = Duration::from_secs(2 * 86_400);
/// How late a lease's end may be acted on while the cloud answers: the step's own time and a pass over what is due.
const PROMPT: Duration = Duration::from_secs(5);

/// A daemon's life over a store and a cloud that outlive it.
struct Site {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    cloud: Arc<Cloud>,
    generation: Arc<OneSite>,
    orders: Arc<Orders>,
    running: (JoinHandle<()>, CancellationToken),
    random: StdRng,
}

/// What a day leaves.
#[derive(Clone, Copy, Debug)]
struct Day {
    resident_kib: u64,
    kept_orders: u64,
    alive: u64,
    looks: u64,
    latest_lease: Duration,
}

fn orders(store: &Arc<Store>, site: &Arc<OneSite>, clock: &Arc<dyn Clock>) -> Arc<Orders> {
    let kept = KEPT.as_secs();
    let limit: LimitRule = serde_json::from_value(json!({"user": "*", "instances": 200})).unwrap();
    let settings = Settings {
        closed_retention_s: kept,
        event_retention_s: kept,
        idempotency_retention_s: kept,
        forget_every_s: 600,
        lease_grace_ms: 0,
        // Most looks are lists, as on a site with many orders.
        list_from: 2,
        ..Settings::default()
    };
    let config = OrdersConfig { settings, ..config(&[limit], "daemon") };
    Orders::new(site.clone(), store.orders(), clock.clone(), config)
}

impl Site {
    async fn open() -> Self {
        let rig = Rig::with(CreateBehaviour::Searchable, &["emulated"]);
        let clock = rig.clock.clone();
        let store = Store::open(Arc::new(MemoryEngine::new()), &here(), clock.clone()).await.unwrap();
        let orders = orders(&store, &rig.site, &clock);
        let running = start(&orders);
        let (cloud, generation) = (rig.cloud().clone(), rig.site.clone());
        Self { store, clock, cloud, generation, orders, running, random: StdRng::seed_from_u64(30) }
    }

    /// Another process over the same store; the one before was killed, or let end.
    async fn restart(&mut self, is_gentle: bool) {
        if is_gentle {
            self.running.1.cancel();
        } else {
            self.running.0.abort();
        }
        let ended = (&mut self.running.0).await;
        assert!(!is_gentle || ended.is_ok(), "{ended:?}");
        self.orders = orders(&self.store, &self.generation, &self.clock);
        self.running = start(&self.orders);
    }

    async fn create(&mut self) -> Option<OrderId> {
        let mut request: CreateOrder = if self.random.gen_bool(0.7) { compute() } else { volume() };
        request.lease = Some(LeaseRequest::DurationS(self.random.gen_range(600..5 * 3600)));
        match self.orders.create(&alice(), request, None, &answer).await {
            Ok(Created::New(order)) => Some(order.id),
            Ok(Created::Replayed(_)) => panic!("no key was given"),
            // While the cloud is away orders gather, and more are refused: as it must be.
            Err(error) => {
                assert!(error.retry_after.is_some(), "{error}");
                None
            }
        }
    }

    fn misbehave(&mut self) {
        let fault = match self.random.gen_range(0..4) {
            0 => Fault::LoseAnswer,
            1 => Fault::LoseRequest,
            2 => Fault::Refuse(Error::transient("busy")),
            _ => Fault::Slow(Duration::from_secs(30)),
        };
        let which = self.random.gen_range(0..4);
        let mut ledger = self.cloud.ledger();
        let faults = match which {
            0 => &mut ledger.request_faults,
            1 => &mut ledger.get_faults,
            2 => &mut ledger.delete_faults,
            _ => &mut ledger.list_faults,
        };
        faults.push_back(fault);
    }

    async fn alive(&self) -> Vec<archipel_model::order::Order> {
        self.orders.list(&OrderQuery::of(Visible::Any, 1000)).await.unwrap().items
    }

    /// How long ago the oldest lease ended of which nothing came yet.
    async fn overdue(&self) -> Duration {
        let now = self.clock.now();
        let late = |order: &archipel_model::order::Order| {
            let end = order.lease.as_ref()?.expires_at;
            (order.state != State::Closing && end <= now).then(|| now.since(end))
        };
        self.alive().await.iter().filter_map(late).max().unwrap_or_default()
    }
}

fn start(orders: &Arc<Orders>) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(orders.clone().run(stop.clone())), stop)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the cloud ran, in milliseconds; what is gone is forgotten, with all calls, so that the fake grows no more than the site.
fn settle_accounts(cloud: &Cloud, now: Timestamp) -> u64 {
    let mut ledger = cloud.ledger();
    ledger.calls.clear();
    let mut ran = 0;
    ledger.made.retain(|made| match made.gone_at {
        Some(gone) if gone <= now => {
            ran += gone.since(made.made_at).as_millis() as u64;
            false
        }
        _ => true,
    });
    ran
}

#[tokio::test(start_paused = true)]
async fn thirty_days_leave_nothing_behind() {
    let mut site = Site::open().await;
    let began = site.clock.now();
    let cloud: CloudName = "emulated".parse().unwrap();
    let mut days: Vec<Day> = Vec::new();
    let (mut made, mut ran_ms) = (0_u64, 0_u64);
    for day in 0..DAYS {
        let mut looks = 0;
        let mut latest_lease = Duration::ZERO;
        for hour in 0..24 {
            // Two hours of outage each day, at another time each day.
            let is_away = hour == day % 20 || hour == day % 20 + 1;
            site.cloud.ledger().away = is_away.then(|| Error::transient("maintenance without notice"));
            for _ in 0..AN_HOUR {
                tokio::time::sleep(HOUR / AN_HOUR as u32 - PROMPT).await;
                // Due by now, less what a pass takes: looked at while the cloud answers and after it came back.
                tokio::time::sleep(PROMPT).await;
                latest_lease = latest_lease.max(site.overdue().await);
                made += u64::from(site.create().await.is_some());
                if !is_away && site.random.gen_bool(0.2) {
                    site.misbehave();
                }
                if site.random.gen_bool(0.05) {
                    let alive = site.alive().await;
                    let at = site.random.gen_range(0..alive.len().max(1));
                    if let Some(order) = alive.get(at) {
                        let _ = site.orders.delete(order.id, None, false, false).await;
                    }
                }
            }
            looks += site.cloud.ledger().calls.len() as u64;
            ran_ms += settle_accounts(&site.cloud, site.clock.now());
        }
        let stats = site.store.stats().await.unwrap();
        let alive = stats.orders;
        days.push(Day {
            resident_kib: resident_kib(),
            kept_orders: stats.closed_orders,
            alive,
            looks,
            latest_lease,
        });
        site.restart(day % 3 == 2).await;
        // As the daemon's housekeeping does.
        let before = site.clock.now().minus(KEPT);
        while site.store.usage().forget_before(before, 500).await.unwrap() > 0 {}
    }
    println!("{made} orders in {DAYS} days");
    for (day, told) in days.iter().enumerate() {
        println!("day {:2}: {} alive, {told:?}", day + 1, told.alive);
    }

    // Everything ends: the last leases run for five hours.
    site.cloud.ledger().away = None;
    tokio::time::sleep(8 * HOUR).await;
    let left = site.alive().await;
    assert!(left.is_empty(), "{} orders did not end: {:?}", left.len(), left.first());
    assert_eq!(site.cloud.all_live(), 0, "instances without an order");
    ran_ms += settle_accounts(&site.cloud, site.clock.now());

    // Nothing is counted against anybody who has nothing: as many as the limit fit again.
    let usage = site.store.orders().usage(&user_counter(&alice().user.owner())).await.unwrap();
    assert_eq!((usage.instances, usage.vcpu), (0, 0), "{usage:?}");

    // Metered from the site's first sight of a machine to its last: what the cloud ran, but for the looks in between.
    let query = UsageQuery {
        visible: Visible::Any,
        group: None,
        cloud: Some(cloud),
        kind: None,
        from: began,
        to: site.clock.now(),
    };
    let metered: i128 = site
        .store
        .usage()
        .lines(&query)
        .await
        .unwrap()
        .iter()
        .map(|line| line.after.instances - line.before.instances)
        .sum();
    let share = metered as f64 / ran_ms as f64;
    println!("metered {metered} ms of {ran_ms} ms that the cloud ran: {share:.4}");
    assert!((0.95..=1.005).contains(&share), "metered {share:.4} of what the cloud ran");

    // By then every cache that has a bound is full (the last 4,096 orders that were read, after a fortnight).
    let settled = &days[16..19];
    let end = &days[days.len() - 3..];
    let most = |days: &[Day], of: fn(&Day) -> u64| days.iter().map(of).max().unwrap();
    let (before, after) = (most(settled, |day| day.resident_kib), most(end, |day| day.resident_kib));
    assert!(after < before + before / 10, "{before} KiB before, {after} at the end");
    let (before, after) = (most(settled, |day| day.kept_orders), most(end, |day| day.kept_orders));
    assert!(after < before + before / 5, "{before} orders were kept before, {after} at the end");
    let looks = |days: &[Day]| days.iter().map(|day| day.looks).sum::<u64>() as f64;
    let ratio = looks(end) / looks(settled);
    assert!((0.8..1.25).contains(&ratio), "looks at the cloud: {ratio:.2} of those before");
    for day in [settled, end].concat() {
        assert!(
            day.latest_lease <= PROMPT,
            "a lease ended {:?} before anything was done: {day:?}",
            day.latest_lease
        );
    }
    site.restart(true).await;
    assert_eq!(site.cloud.ledger().made.iter().filter(|made| made.status != Status::Ready).count(), 0);
}

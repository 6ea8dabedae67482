//! Durable accepts per second from 1, 16 and 64 clients, and what a read costs.

#![allow(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(missing_docs, reason = "criterion's macros write the items")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use archipel_model::order::{Kind, OnQuota, Order, State};
use archipel_model::{FederationUser, OrderId, SystemClock, Timestamp};
use archipel_orders::store::{Acceptance, NewEvent, OrderStore};
use archipel_store::{Engine, SledEngine, SledOptions, Store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn order(of: u64) -> Order {
    let now = Timestamp::from_millis(1_800_000_000_000);
    Order {
        id: OrderId::generate(),
        kind: Kind::Compute,
        name: "worker".into(),
        spec: serde_json::json!({"image": "debian-12", "vcpu": 2, "ram_mib": 2048, "disk_gib": 20}),
        user: FederationUser {
            issuer: "https://idp.example.org".into(),
            subject: format!("user-{}", of % 100),
            name: "A User".into(),
            email: None,
            groups: vec!["physics".into()],
            entitlements: vec![],
            attributes: vec![],
            home_site: None,
            assurance: String::new(),
            authenticated_at: now,
            expires_at: None,
        },
        group: Some("physics".into()),
        site: "site-a.example.org".parse().unwrap(),
        cloud: "cloud-1".parse().unwrap(),
        local_account: None,
        state: State::Open,
        fault: None,
        unreachable: None,
        waiting_for: vec![],
        instance: None,
        depends_on: vec![],
        origin: None,
        remote: None,
        labels: Default::default(),
        deadline: None,
        lease: None,
        lease_warned_at: None,
        on_quota: OnQuota::Fail,
        requested_at: None,
        attempts: 0,
        outcome_unknown: false,
        retry_at: None,
        missing_since: None,
        closing: None,
        created_at: now,
        updated_at: now,
        version: 1,
        revision: 1,
    }
}

async fn accept(orders: &Arc<dyn OrderStore>, number: u64) -> OrderId {
    let event = NewEvent {
        kind: "org.archipel.order.open.v1".into(),
        data: serde_json::json!({"state": "open", "version": 1}),
    };
    let order = order(number);
    let acceptance = Acceptance { order, events: vec![event], limits: vec![], idempotency: None };
    orders.accept(acceptance).await.unwrap().id
}

async fn run(orders: &Arc<dyn OrderStore>, clients: u64, total: u64) -> Duration {
    let begun = Instant::now();
    let work = (0..clients).map(|client| {
        let orders = Arc::clone(orders);
        tokio::spawn(async move {
            let mut number = client;
            while number < total {
                accept(&orders, number).await;
                number += clients;
            }
        })
    });
    futures::future::join_all(work).await;
    begun.elapsed()
}

fn creates(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = SledEngine::open(dir.path(), SledOptions::default()).unwrap();
    let site = "site-a.example.org".parse().unwrap();
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let store = runtime.block_on(Store::open(shared, &site, Arc::new(SystemClock))).unwrap();
    let orders = store.orders();
    let mut group = criterion.benchmark_group("durable accepts");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    for clients in [1_u64, 16, 64] {
        group.bench_function(format!("{clients} clients"), |bencher| {
            bencher.iter_custom(|total| runtime.block_on(run(&orders, clients, total)));
        });
        println!("{:?}", store.figures());
    }
    group.finish();
    let known = runtime.block_on(accept(&orders, 0));
    let mut group = criterion.benchmark_group("reads");
    group.bench_function("order, cached", |bencher| {
        bencher.to_async(&runtime).iter(|| async { orders.get(known).await.unwrap() });
    });
    group.bench_function("key that is not there (one hop)", |bencher| {
        bencher.to_async(&runtime).iter(|| async { engine.get(b"absent").await.unwrap() });
    });
    group.finish();
    println!("{:?}", store.figures());
    runtime.block_on(store.close());
}

criterion_group!(benches, creates);
criterion_main!(benches);

//! Orders made durable at the store's own interface.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use archipel_model::order::{Kind, Order};
use archipel_model::{FederationUser, OrderId, SystemClock, Timestamp};
use archipel_orders::store::{Acceptance, NewEvent, OrderStore};
use archipel_store::{Engine, SledEngine, SledOptions, Store};
use archipel_tests::site::SITE_ID;
use serde_json::json;

/// An order as a person's request makes it.
pub(super) fn order(number: u64) -> Order {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let user = FederationUser {
        issuer: "https://idp.example.org".into(),
        subject: format!("user-{}", number % 1000),
        name: "A User".into(),
        email: None,
        groups: vec!["physics".into()],
        entitlements: vec![],
        attributes: vec![],
        home_site: None,
        assurance: String::new(),
        authenticated_at: now,
        expires_at: None,
    };
    let spec = json!({"image": "debian-12", "vcpu": 2, "ram_mib": 2048, "disk_gib": 20});
    let site = SITE_ID.parse().expect("the site's id");
    let cloud = "emulated".parse().expect("a cloud's name");
    Order {
        name: "worker".into(),
        group: Some("physics".into()),
        version: 1,
        revision: 1,
        ..Order::open(OrderId::generate(), Kind::Compute, spec, user, site, cloud, now)
    }
}

/// What its acceptance tells.
pub(super) fn event() -> NewEvent {
    NewEvent { kind: "org.archipel.order.open.v1".into(), data: json!({"state": "open", "version": 1}) }
}

/// An order as it is accepted.
pub(super) fn acceptance(number: u64) -> Acceptance {
    Acceptance { order: order(number), events: vec![event()], limits: vec![], idempotency: None, audit: None }
}

/// A store in a folder; made if there is none.
pub(super) async fn open(folder: &Path) -> Result<(Arc<SledEngine>, Arc<Store>)> {
    let engine = SledEngine::open(folder, SledOptions::default())?;
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let store = Store::open(shared, &SITE_ID.parse()?, Arc::new(SystemClock)).await?;
    Ok((engine, store))
}

/// Accepts per second by `clients`, each of which waits until its order is durable.
pub(super) async fn per_second(orders: &Arc<dyn OrderStore>, clients: usize, seconds: u64) -> Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut working = tokio::task::JoinSet::new();
    for client in 0..clients as u64 {
        let orders = Arc::clone(orders);
        working.spawn(async move {
            let mut made = 0_u32;
            while Instant::now() < until {
                orders.accept(acceptance(client)).await?;
                made += 1;
            }
            anyhow::Ok(made)
        });
    }
    let mut made = 0.0;
    while let Some(client) = working.join_next().await {
        made += f64::from(client.context("a client broke")??);
    }
    Ok(made / began.elapsed().as_secs_f64())
}

/// The same in a store of its own, on the disk of `TMPDIR`.
pub(super) async fn in_a_fresh_store(clients: usize, seconds: u64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let (_, store) = open(folder.path()).await?;
    let rate = per_second(&store.orders(), clients, seconds).await;
    store.close().await;
    rate
}

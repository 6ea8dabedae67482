//! The ledger of requests that left for an order.

use std::time::Duration;

use archipel_model::egress::EgressEntry;
use archipel_model::order::State;
use archipel_model::{Clock as _, OrderId};

use super::support::*;

fn entry(order: OrderId, number: u64) -> EgressEntry {
    EgressEntry {
        at: archipel_model::Timestamp::from_millis(1_800_000_000_000),
        binding: "cloud/one/driver".into(),
        digest: "sha256:00".into(),
        order: Some(order),
        request_id: "r".into(),
        method: "GET".into(),
        origin: "https://cloud.test".into(),
        address: Some("10.0.0.1:443".parse().unwrap()),
        certificate: Some("sha256:11".into()),
        status: Some(200),
        sent: number,
        received: 0,
        took_us: 1,
        outcome: "complete".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_requests_of_each_order_are_kept_and_the_rest_is_counted() {
    on_every_engine(async |f| {
        let log = f.store.egress();
        let (one, two) = (OrderId::generate(), OrderId::generate());
        let mut nobodys = entry(one, 999);
        nobodys.order = None;
        let mut all: Vec<EgressEntry> = (0..500).map(|number| entry(one, number)).collect();
        all.extend([nobodys, entry(two, 7)]);
        log.append(&all, 100).await.unwrap();
        let kept = log.of_order(one).await.unwrap();
        let sent: Vec<u64> = kept.entries.iter().map(|entry| entry.sent).collect();
        assert_eq!(sent, (400..500).rev().collect::<Vec<u64>>(), "newest first");
        assert_eq!(kept.forgotten, 400);
        assert_eq!(kept.entries[0], entry(one, 499), "as it was written");
        let other = log.of_order(two).await.unwrap();
        assert_eq!((other.entries.len(), other.forgotten), (1, 0));
        assert_eq!(log.of_order(OrderId::generate()).await.unwrap(), Default::default());
        // One more, from a process that has counted nothing yet.
        let clock = std::sync::Arc::clone(&f.clock);
        let again = crate::Store::open(std::sync::Arc::clone(&f.engine), &site(), clock).await.unwrap();
        again.egress().append(&[entry(one, 500)], 100).await.unwrap();
        let kept = log.of_order(one).await.unwrap();
        assert_eq!((kept.entries.len(), kept.entries[0].sent, kept.forgotten), (100, 500, 401));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_forgotten_with_its_order() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let mut order = volume("alice");
        orders.accept(acceptance(&order)).await.unwrap();
        let log = f.store.egress();
        let all: Vec<EgressEntry> = (0..300).map(|number| entry(order.id, number)).collect();
        log.append(&all, 250).await.unwrap();
        orders.change(next(&mut order, State::Closed)).await.unwrap();
        let later = f.clock.now().plus(Duration::from_secs(86_400));
        orders.forget_before(later, later, later, 1000).await.unwrap();
        assert!(orders.get(order.id).await.unwrap().is_none(), "forgotten");
        assert_eq!(log.of_order(order.id).await.unwrap(), Default::default());
    })
    .await;
}

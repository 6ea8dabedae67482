//! What must hold however requests interleave.

use std::sync::Arc;

use archipel_model::order::State;
use archipel_orders::store::WriteError;
use futures::future::join_all;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_creates_never_share_the_last_slot() {
    on_every_engine(async |f| {
        let tries = (0..64).map(|_| {
            let orders = f.store.orders();
            tokio::spawn(async move {
                let mut acceptance = acceptance(&compute("alice"));
                acceptance.limits = vec![instances("cloud/cloud-1", 10)];
                match orders.accept(acceptance).await {
                    Ok(_) => true,
                    Err(WriteError::Refused(error)) if error.has_code("limit-exceeded") => false,
                    Err(error) => panic!("{error:?}"),
                }
            })
        });
        let won = join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!(won, 10);
        assert_eq!(f.store.orders().usage("cloud/cloud-1").await.unwrap().instances, 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_and_the_end_of_its_parent_exclude_each_other() {
    on_every_engine(async |f| {
        let mut born = 0;
        for _ in 0..60 {
            let mut parent = volume("alice");
            let orders = f.store.orders();
            orders.accept(acceptance(&parent)).await.unwrap();
            let child = attachment("alice", &[&parent]);
            let mut delete = next(&mut parent, State::Closing);
            delete.only_without_dependants = true;
            let (one, two) = (f.store.orders(), f.store.orders());
            let creating = tokio::spawn({
                let child = child.clone();
                async move { one.accept(acceptance(&child)).await }
            });
            let deleting = tokio::spawn(async move { two.change(delete).await });
            let (created, deleted) = (creating.await.unwrap(), deleting.await.unwrap());
            assert!(created.is_ok() != deleted.is_ok(), "{created:?} {deleted:?}");
            match created {
                Ok(_) => {
                    born += 1;
                    assert_eq!(orders.dependants(parent.id).await.unwrap(), [child.id]);
                }
                Err(_) => assert_eq!(orders.get(parent.id).await.unwrap().unwrap().state, State::Closing),
            }
        }
        println!("of 60 children {born} were born");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_parent_bears_many_children_at_once() {
    on_every_engine(async |f| {
        let mut network = volume("alice");
        f.store.orders().accept(acceptance(&network)).await.unwrap();
        let tries = (0..64).map(|_| {
            let (orders, child) = (f.store.orders(), attachment("alice", &[&network]));
            tokio::spawn(async move { orders.accept(acceptance(&child)).await.map(|_| ()) })
        });
        let tries: Vec<_> = tries.collect();
        f.store.orders().change(next(&mut network, State::Selected)).await.unwrap();
        for made in join_all(tries).await {
            made.unwrap().unwrap();
        }
        assert_eq!(f.store.orders().dependants(network.id).await.unwrap().len(), 64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_twins_one_is_accepted() {
    use archipel_orders::store::{IdempotencyRecord, IdempotencyScope};
    on_every_engine(async |f| {
        let tries = (0..32).map(|_| {
            let orders = f.store.orders();
            let at = archipel_model::Clock::now(&*f.clock);
            tokio::spawn(async move {
                let mut acceptance = acceptance(&compute("alice"));
                let scope =
                    IdempotencyScope { owner: owner("alice"), path: "/v1/computes".into(), key: "k".into() };
                let record = IdempotencyRecord {
                    request_hash: "h".into(),
                    created_at: at,
                    order_ids: vec![],
                    answer: None,
                };
                acceptance.idempotency = Some((scope, record));
                orders.accept(acceptance).await.is_ok()
            })
        });
        let won = join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!(won, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_one_holds_a_queue() {
    on_every_engine(async |f| {
        let cloud: Arc<archipel_model::CloudName> = Arc::new("cloud-1".parse().unwrap());
        let tries = (0..32).map(|number| {
            let (orders, cloud) = (f.store.orders(), Arc::clone(&cloud));
            let now = archipel_model::Clock::now(&*f.clock);
            tokio::spawn(async move { orders.claim(&cloud, &format!("d{number}"), now, 1000).await.unwrap() })
        });
        let held = join_all(tries).await.into_iter().filter_map(|claim| claim.unwrap()).count();
        assert_eq!(held, 1);
    })
    .await;
}

//! Idempotency keys.

use std::time::Duration;

use archipel_model::{OrderId, Timestamp};
use archipel_orders::store::{IdempotencyRecord, IdempotencyScope, StoredAnswer, WriteError};

use super::support::*;

fn scope(key: &str) -> IdempotencyScope {
    IdempotencyScope { owner: owner("alice"), path: "/v1/computes".into(), key: key.into() }
}

fn record(hash: &str, at: Timestamp, body: Option<String>) -> IdempotencyRecord {
    IdempotencyRecord {
        request_hash: hash.into(),
        created_at: at,
        order_ids: vec![],
        answer: body.map(|body| StoredAnswer {
            status: 201,
            headers: vec![("etag".into(), "\"1\"".into())],
            body,
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_and_its_key_are_one() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let now = archipel_model::Clock::now(&*f.clock);
        let kept = record("h", now, Some("{}".into()));
        let mut first = acceptance(&compute("alice"));
        first.idempotency = Some((scope("k"), kept.clone()));
        orders.accept(first).await.unwrap();
        assert_eq!(orders.idempotency(&scope("k")).await.unwrap(), Some(kept.clone()));
        assert_eq!(orders.idempotency(&scope("other")).await.unwrap(), None);
        for (hash, code) in [("h", "idempotency-key-used"), ("g", "idempotency-key-reused")] {
            let mut again = acceptance(&compute("alice"));
            again.idempotency = Some((scope("k"), record(hash, now, Some("{}".into()))));
            let id = again.order.id;
            match orders.accept(again).await {
                Err(WriteError::Refused(error)) => assert!(error.has_code(code), "{error}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(orders.get(id).await.unwrap(), None);
        }
        f.clock.turn(Duration::from_secs(24 * 3600));
        assert_eq!(orders.idempotency(&scope("k")).await.unwrap(), None, "forgotten after a day");
        let mut late = acceptance(&compute("alice"));
        late.idempotency =
            Some((scope("k"), record("g", archipel_model::Clock::now(&*f.clock), Some("{}".into()))));
        orders.accept(late).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_is_begun_and_then_answered_at_length() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let now = archipel_model::Clock::now(&*f.clock);
        let mut begun = record("h", now, None);
        begun.order_ids = vec![OrderId::generate(), OrderId::generate()];
        orders.put_idempotency(&scope("b"), &begun).await.unwrap();
        orders.put_idempotency(&scope("b"), &begun).await.unwrap();
        let mut twin = begun.clone();
        twin.order_ids = vec![OrderId::generate()];
        let refused = orders.put_idempotency(&scope("b"), &twin).await.unwrap_err();
        assert!(refused.has_code("idempotency-key-used"), "a twin must not change the ids");
        let other = record("g", now, None);
        let refused = orders.put_idempotency(&scope("b"), &other).await.unwrap_err();
        assert!(refused.has_code("idempotency-key-reused"));
        let body = "é{\"results\": []}".repeat(200_000);
        let ended = IdempotencyRecord { answer: record("h", now, Some(body)).answer, ..begun.clone() };
        orders.put_idempotency(&scope("b"), &ended).await.unwrap();
        assert_eq!(orders.idempotency(&scope("b")).await.unwrap(), Some(ended.clone()));
        orders.put_idempotency(&scope("b"), &ended).await.unwrap();
        let refused = orders.put_idempotency(&scope("b"), &begun).await.unwrap_err();
        assert!(refused.has_code("idempotency-key-used"), "an answer is never taken back");
        let none = Timestamp::from_millis(0);
        assert_eq!(orders.forget_before(none, none, now, 10).await.unwrap(), 0);
        assert_eq!(
            orders.forget_before(none, none, now.plus(Duration::from_millis(1)), 10).await.unwrap(),
            1
        );
        assert_eq!(orders.idempotency(&scope("b")).await.unwrap(), None);
        assert_eq!(f.engine.range(&crate::engine::Range::prefix(b"i", 10)).await.unwrap(), []);
    })
    .await;
}

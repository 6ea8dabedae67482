//! `Idempotency-Key`: the same POST twice does it once.
//!
//! | the key | answer |
//! |---|---|
//! | new | the request is done; its 2xx, 409 or 422 is kept for 24 h. Other failures are not: trying again is what the key is for |
//! | known, same body | the kept answer, with `Idempotency-Replayed: true` |
//! | known, another body | 422 `idempotency-key-reused` |
//! | in use just now | waits for the twin to end, then as above |
//!
//! A key holds for one owner and one path. The truth is in the store: a single create keeps its answer in the accepting
//! commit; a bulk request writes the ids of its orders before it begins, so that a repetition after a crash completes it.
//! The table of flights only spares twins within this process the race.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_model::OrderId;
use archipel_orders::IdempotencyRequest;
use archipel_orders::store::{IdempotencyRecord, IdempotencyScope, StoredAnswer};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use crate::authenticate::Who;
use crate::problem::{self, Answer, Problem, table};
use crate::state::App;

/// In.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Out, on a kept answer.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest answer that is kept: half of what a commit of the store may hold.
const KEPT_BYTES: usize = 512 * 1024;

/// Keys in use just now.
#[derive(Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<IdempotencyScope, Arc<tokio::sync::Mutex<()>>>>>);

/// The right to work under a key; given back when dropped.
pub(crate) struct Flight {
    table: Arc<Mutex<HashMap<IdempotencyScope, Arc<tokio::sync::Mutex<()>>>>>,
    scope: IdempotencyScope,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Flights {
    async fn enter(&self, scope: &IdempotencyScope) -> Flight {
        let lock = {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(table.entry(scope.clone()).or_default())
        };
        let mut flight = Flight { table: Arc::clone(&self.0), scope: scope.clone(), guard: None };
        flight.guard = Some(lock.lock_owned().await);
        flight
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.guard = None;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds a second reference; the last one out takes the entry away.
        if table.get(&self.scope).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            table.remove(&self.scope);
        }
    }
}

/// A request under a key that has no answer yet.
pub(crate) struct Keyed {
    request: IdempotencyRequest,
    begun: Option<IdempotencyRecord>,
    _flight: Flight,
}

/// What a key says before the request is done.
#[expect(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub(crate) enum Entered {
    /// It came without one.
    Unkeyed,
    /// Do it.
    Begin(Keyed),
    /// It was done before.
    Replay(Response),
}

/// Looks at the key of a request.
pub(crate) async fn enter(
    app: &App,
    who: &Who,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<Entered> {
    let Some(key) = read(headers)? else { return Ok(Entered::Unkeyed) };
    let scope = IdempotencyScope { owner: who.caller.user.owner(), path: path.to_owned(), key };
    let request_hash = hex::encode(Sha256::digest(body));
    let flight = app.flights.enter(&scope).await;
    let known = app.orders.store().idempotency(&scope).await?;
    if let Some(record) = &known {
        if record.request_hash != request_hash {
            return Err(Problem::new(
                table::KEY_REUSED,
                "this Idempotency-Key came with another body before; take a new one",
            ));
        }
        if let Some(answer) = &record.answer {
            return Ok(Entered::Replay(replay(answer)));
        }
    }
    Ok(Entered::Begin(Keyed {
        request: IdempotencyRequest { scope, request_hash },
        begun: known,
        _flight: flight,
    }))
}

fn read(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut sent = headers.get_all(KEY).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let is_visible = |bytes: &[u8]| bytes.iter().all(|byte| (0x21..=0x7e).contains(byte));
    if sent.next().is_some() || !(1..=255).contains(&value.len()) || !is_visible(value.as_bytes()) {
        return Err(Problem::new(
            table::BAD_HEADER,
            "Idempotency-Key is not one of 1 to 255 visible ASCII characters",
        )
        .member("header", KEY.as_str()));
    }
    Ok(value.to_str().ok().map(str::to_owned))
}

impl Keyed {
    /// For [`Orders::create`](archipel_orders::Orders::create), which keeps the answer in the accepting commit.
    pub(crate) fn request(&self) -> IdempotencyRequest {
        self.request.clone()
    }

    /// Ids for the orders of a bulk request: those of a first try that broke off, or `fresh`, written down now.
    pub(crate) async fn reserve(&mut self, app: &App, count: usize) -> Answer<Vec<OrderId>> {
        if let Some(record) = self.begun.as_ref().filter(|record| record.order_ids.len() == count) {
            return Ok(record.order_ids.clone());
        }
        let record = IdempotencyRecord {
            request_hash: self.request.request_hash.clone(),
            created_at: app.clock.now(),
            order_ids: (0..count).map(|_| OrderId::generate()).collect(),
            answer: None,
        };
        app.orders.store().put_idempotency(&self.request.scope, &record).await?;
        let ids = record.order_ids.clone();
        self.begun = Some(record);
        Ok(ids)
    }

    /// Keeps an answer. One that is too large for a commit is not kept: a repetition then meets the reserved ids and is
    /// answered from the orders themselves.
    pub(crate) async fn keep(&self, app: &App, answer: StoredAnswer) -> Answer<()> {
        if answer.body.len() > KEPT_BYTES {
            return Ok(());
        }
        let record = IdempotencyRecord {
            request_hash: self.request.request_hash.clone(),
            created_at: self.begun.as_ref().map_or_else(|| app.clock.now(), |record| record.created_at),
            order_ids: self.begun.as_ref().map(|record| record.order_ids.clone()).unwrap_or_default(),
            answer: Some(answer),
        };
        Ok(app.orders.store().put_idempotency(&self.request.scope, &record).await?)
    }

    /// Keeps a refusal that would be the same next time, and hands it on.
    pub(crate) async fn refuse(&self, app: &App, who: &Who, problem: Problem) -> Problem {
        if matches!(problem.row().status, 409 | 422)
            && let Err(other) = self.keep(app, stored(&problem, &who.info.request_id)).await
        {
            return other;
        }
        problem
    }
}

fn stored(problem: &Problem, request_id: &str) -> StoredAnswer {
    StoredAnswer {
        status: problem.row().status,
        headers: vec![("content-type".into(), problem::MEDIA_TYPE.into())],
        body: problem.document(request_id).to_string(),
    }
}

/// An answer as it was kept.
pub(crate) fn response(answer: &StoredAnswer) -> Response {
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return Problem::internal("a kept answer has no status").into_response();
    };
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = status;
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A kept answer, marked as one.
pub(crate) fn replay(answer: &StoredAnswer) -> Response {
    let mut response = response(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use archipel_model::Owner;

    use super::*;

    #[tokio::test]
    async fn twins_go_one_after_the_other_and_leave_nothing_behind() {
        let flights = Flights::default();
        let scope = IdempotencyScope {
            owner: Owner { issuer: "i".into(), subject: "s".into() },
            path: "/v1/computes".into(),
            key: "k".into(),
        };
        let first = flights.enter(&scope).await;
        let second = tokio::time::timeout(std::time::Duration::from_millis(20), flights.enter(&scope)).await;
        assert!(second.is_err(), "the twin waits");
        drop(first);
        drop(flights.enter(&scope).await);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_key_is_1_to_255_visible_ascii_characters() {
        let key = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(KEY, HeaderValue::from_bytes(bytes).unwrap());
            read(&headers)
        };
        assert_eq!(key(b"a-1").unwrap().as_deref(), Some("a-1"));
        for bad in [b"".as_slice(), b"a b", "ü".as_bytes(), &[b'a'; 256]] {
            assert_eq!(key(bad).unwrap_err().row(), table::BAD_HEADER);
        }
    }
}

//! What happened, as a stream.

use std::collections::BTreeSet;
use std::time::Duration;

use archipel_api::ApiLimits;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::site::TestSite;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// One frame with data.
#[derive(Debug)]
struct Frame {
    id: String,
    kind: String,
    event: Value,
}

struct Stream {
    body: Body,
    text: String,
    /// The last `id:` that was seen.
    last: String,
}

impl Stream {
    async fn open(site: &TestSite, path: &str, token: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = site.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["vary"], "authorization, accept");
        let mut stream = Self { body: response.into_body(), text: String::new(), last: String::new() };
        let begin = stream.block().await.expect("a stream begins by telling where it is");
        assert!(begin.contains("retry: 1000"), "{begin}");
        stream
    }

    /// What stands up to the next empty line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last = id.to_owned();
                }
                return Some(block);
            }
            let frame =
                tokio::time::timeout(LONG, self.body.frame()).await.expect("it neither tells nor ends")?;
            self.text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            let block = self.block().await?;
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(id), Some(kind), Some(data)) = (line("id: "), line("event: "), line("data: ")) {
                return Some(Frame { id, kind, event: serde_json::from_str(&data).unwrap() });
            }
        }
    }

    async fn until(&mut self, kind: &str) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await.expect("the stream goes on"));
            if frames.last().is_some_and(|frame| frame.kind == kind) {
                return frames;
            }
        }
    }
}

const FULFILLED: &str = "org.archipel.order.fulfilled.v1";

#[tokio::test]
async fn a_stream_tells_what_happens_from_now_on_and_goes_on_where_it_stopped() {
    let site = TestSite::start().await;
    let (alice, bob) = (site.token("alice").await, site.token("bob").await);
    site.compute(&alice).await;
    let mut stream = Stream::open(&site, "/v1/events", &alice, None).await;
    site.volume(&bob).await;
    let volume = site.volume(&alice).await.id();
    let seen = stream.until(FULFILLED).await;
    assert!(seen.iter().all(|frame| frame.event["subject"] == volume.as_str()), "{seen:?}");
    assert_eq!(seen[0].kind, "org.archipel.order.open.v1");
    assert_eq!(seen[0].event["type"], seen[0].kind.as_str());
    drop(stream);

    // Whoever comes back gets what came after, and each once; an `id:` is a cursor for the list too.
    let after_first = seen[0].id.clone();
    let mut again = Stream::open(&site, "/v1/events", &alice, Some(&after_first)).await;
    let rest = again.until(FULFILLED).await;
    let ids = |frames: &[Frame]| frames.iter().map(|frame| frame.event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&rest), ids(&seen[1..]));
    let listed = site.get(&format!("/v1/events?cursor={after_first}"), &alice).await.ok(200);
    let listed: Vec<Value> =
        listed.json["items"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(listed, ids(&rest));
    let mut by_query = Stream::open(&site, &format!("/v1/events?cursor={after_first}"), &alice, None).await;
    assert_eq!(ids(&by_query.until(FULFILLED).await), ids(&rest));
}

#[tokio::test]
async fn one_orders_stream_tells_of_that_one_alone() {
    let site = TestSite::start().await;
    let alice = site.token("alice").await;
    let first = site.compute(&alice).await.id();
    let mut stream = Stream::open(&site, &format!("/v1/orders/{first}/events"), &alice, None).await;
    site.volume(&alice).await;
    site.ask("DELETE", &format!("/v1/orders/{first}"), &alice, &[], None).await.ok(202);
    let seen = stream.until("org.archipel.order.closed.v1").await;
    assert!(seen.iter().all(|frame| frame.event["subject"] == first.as_str()), "{seen:?}");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_others_go_on() {
    let site = TestSite::start().await;
    let (one, other) = (site.token("alice").await, site.token("alice").await);
    let mut ending = Stream::open(&site, "/v1/events", &one, None).await;
    let mut staying = Stream::open(&site, "/v1/events", &other, None).await;
    site.ask("DELETE", "/v1/tokens/current", &one, &[], None).await.ok(204);
    assert!(ending.next().await.is_none());
    site.compute(&other).await;
    staying.until(FULFILLED).await;
}

#[tokio::test]
async fn a_cursor_that_never_was_and_one_stream_too_many_are_refused() {
    let site = TestSite::start_with(ApiLimits { event_streams: 1, ..ApiLimits::default() }).await;
    let alice = site.token("alice").await;
    let accept = ("accept", "text/event-stream");
    for bad in ["42", "\u{e9}", ""] {
        let headers = [accept, ("last-event-id", bad)];
        let reply = site.ask("GET", "/v1/events", &alice, &headers, None).await.ok(400);
        assert_eq!(reply.problem(), "bad-cursor");
    }
    let held = Stream::open(&site, "/v1/events", &alice, None).await;
    let refused = site.ask("GET", "/v1/events", &alice, &[accept], None).await.ok(429);
    assert_eq!(refused.problem(), "too-many-requests");
    drop(held);

    let limits = ApiLimits { event_streams_per_user: 1, ..ApiLimits::default() };
    let site = TestSite::start_with(limits).await;
    let (alice, bob) = (site.token("alice").await, site.token("bob").await);
    let _held = Stream::open(&site, "/v1/events", &alice, None).await;
    let refused = site.ask("GET", "/v1/events", &alice, &[accept], None).await.ok(429);
    assert!(refused.json["detail"].as_str().unwrap().starts_with("you have"), "{}", refused.json);
    Stream::open(&site, "/v1/events", &bob, None).await;
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_misses_nothing_when_he_comes_back() {
    let site = TestSite::start_with(ApiLimits { event_reader_s: 0, ..ApiLimits::default() }).await;
    let alice = site.token("alice").await;
    let mut slow = Stream::open(&site, "/v1/events", &alice, None).await;
    for _ in 0..40 {
        site.volume(&alice).await;
    }
    let mut seen = Vec::new();
    let mut comings = 0;
    loop {
        match slow.next().await {
            Some(frame) => seen.push(frame.event["id"].to_string()),
            None => {
                comings += 1;
                let last = slow.last.clone();
                slow = Stream::open(&site, "/v1/events", &alice, Some(&last)).await;
            }
        }
        let all = site.get("/v1/events?limit=1000", &alice).await.ok(200);
        if all.json["items"].as_array().unwrap().len() == seen.len() {
            break;
        }
    }
    assert!(comings >= 1, "120 events do not fit into what waits for a reader");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "each event once");
}

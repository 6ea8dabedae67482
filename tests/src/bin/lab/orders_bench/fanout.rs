//! Events to very many readers at once: streams of a site (server-sent events), beside a bare axum server that sends the
//! same bytes from one broadcast channel to as many.
//!
//! Both share the processors with their readers, which do nothing but count.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::small_compute;
use archipel_tests::site::Site;
use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

/// Readers at once.
const READERS: usize = 1000;
/// Events for each of them.
const EVENTS: usize = 200;
/// Nothing here takes longer.
const MOST: Duration = Duration::from_secs(300);

/// Deliveries per second: of a site, and of the bare server.
pub(super) async fn deliveries_per_second() -> Result<(f64, f64)> {
    Ok((of_a_site().await?, of_bare_axum().await?))
}

async fn of_a_site() -> Result<f64> {
    let mut site = Site::temporary()?;
    site.config["limits"] = json!({
        "api": {"event_streams_per_user": READERS},
        "orders": {"backlog_most": 10_000_000},
        "identity": {"logins_per_second": 1000.0, "login_burst": 1000},
    });
    // One event an order: its acceptance.
    site.config["cloud"][0]["state"] = "maintenance".into();
    let daemon = site.start().await?;
    let token = daemon.token("alice", site.password("alice")).await?;
    let address = daemon.url().trim_start_matches("http://").parse()?;
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\naccept: text/event-stream\r\n\r\n"
    );
    let readers = Readers::connect(address, &request).await?;
    let began = Instant::now();
    create(&daemon).await?;
    readers.have(EVENTS).await?;
    let rate = (READERS * EVENTS) as f64 / began.elapsed().as_secs_f64();
    daemon.kill()?;
    Ok(rate)
}

/// By a few clients, as fast as the site takes them.
async fn create(daemon: &Daemon) -> Result<()> {
    const CLIENTS: usize = 8;
    let mut working = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = daemon.login("alice").await?;
        working.spawn(async move {
            for _ in 0..EVENTS / CLIENTS {
                let answer = client.post("/v1/computes", &small_compute("fan-out")).await?;
                ensure!(answer.status() == 201, "a create was answered {}", answer.status());
            }
            Ok(())
        });
    }
    while let Some(client) = working.join_next().await {
        client.context("a client broke")??;
    }
    Ok(())
}

async fn of_bare_axum() -> Result<f64> {
    let (events, _) = broadcast::channel::<Event>(EVENTS);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let sent = events.clone();
    let streams = move || {
        let begin = tokio_stream::once(Ok(Event::default().id("begin")));
        let events =
            BroadcastStream::new(sent.subscribe()).filter_map(|event| event.ok().map(Ok::<_, Infallible>));
        std::future::ready(Sse::new(begin.chain(events)))
    };
    let server =
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(streams))).await });
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let readers = Readers::connect(address, &request).await?;
    let began = Instant::now();
    // As long as an event of an order is.
    let data = "x".repeat(520);
    for number in 0..EVENTS {
        let id = format!("{number:060}");
        events.send(Event::default().id(id).event("org.archipel.order.open.v1").data(&data))?;
        // Between creates a site waits for its disk, too.
        tokio::task::yield_now().await;
    }
    readers.have(EVENTS).await?;
    let rate = (READERS * EVENTS) as f64 / began.elapsed().as_secs_f64();
    server.abort();
    Ok(rate)
}

/// Streams that are open, and how many events they have brought together.
struct Readers {
    reading: JoinSet<Result<()>>,
    seen: Arc<AtomicU64>,
}

impl Readers {
    /// All of them, each with its first bytes come: from now on it misses nothing.
    async fn connect(address: SocketAddr, request: &str) -> Result<Self> {
        let mut readers = Self { reading: JoinSet::new(), seen: Arc::default() };
        for _ in 0..READERS {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut head = vec![0; 4096];
            let mut read = 0;
            // The header section, and the frame with which a stream begins.
            while !contains(&head[..read], b"\nid:") {
                let more = stream.read(&mut head[read..]).await?;
                ensure!(more > 0, "no stream: {}", String::from_utf8_lossy(&head[..read]));
                read += more;
            }
            readers.reading.spawn(count(stream, Arc::clone(&readers.seen)));
        }
        Ok(readers)
    }

    /// Waits until each has so many events.
    async fn have(&self, events: usize) -> Result<()> {
        let all = (READERS * events) as u64;
        let began = Instant::now();
        while self.seen.load(Ordering::Relaxed) < all {
            let seen = self.seen.load(Ordering::Relaxed);
            ensure!(began.elapsed() < MOST, "{seen} of {all} events came in {} s", MOST.as_secs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// Counts `event:` fields until the stream ends.
async fn count(mut stream: TcpStream, seen: Arc<AtomicU64>) -> Result<()> {
    const FIELD: &[u8] = b"\nevent:";
    let mut bytes = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        let read = stream.read(&mut bytes[kept..]).await?;
        if read == 0 {
            return Ok(());
        }
        let end = kept + read;
        let found = bytes[..end].windows(FIELD.len()).filter(|window| *window == FIELD).count();
        seen.fetch_add(found as u64, Ordering::Relaxed);
        // What a field that is cut in two would begin with.
        let tail = end.min(FIELD.len() - 1);
        bytes.copy_within(end - tail..end, 0);
        kept = tail;
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

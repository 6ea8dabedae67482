//! Events that leave a site: a receiver of webhooks beside a daemon that is killed, and one that is away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, delete, id, reaches, small_compute};
use archipel_tests::site::Site;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);
/// Of one client in one life of the daemon, at most.
const ORDERS: usize = 12;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Arrivals = Vec<(String, String)>;

/// Takes events, and now and then answers 500 or nothing in time.
#[derive(Clone, Default)]
struct Receiver {
    taken: Arc<Mutex<Arrivals>>,
    asked: Arc<Mutex<u64>>,
    is_moody: bool,
}

impl Receiver {
    /// Listens at a port of its own, or at one that is known.
    async fn listen(self, port: u16) -> (u16, JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(take).with_state(self);
        (port, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
    }

    fn taken(&self) -> Arrivals {
        self.taken.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["id"], headers["webhook-id"].to_str().unwrap());
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    let number = {
        let mut asked = receiver.asked.lock().unwrap();
        *asked += 1;
        *asked
    };
    if receiver.is_moody && number.is_multiple_of(13) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    receiver.taken.lock().unwrap().push((text("id"), text("subject")));
    // Taken, and the answer is lost.
    if receiver.is_moody && number.is_multiple_of(29) {
        return StatusCode::BAD_GATEWAY;
    }
    StatusCode::NO_CONTENT
}

fn with_webhook(site: &mut Site, port: u16) {
    site.config["secrets"] = json!({"hook": {"value": SECRET}});
    site.config["events"] = json!({"webhook": [{
        "name": "hook", "url": format!("http://127.0.0.1:{port}/events"), "secrets": ["hook"], "private": true,
    }]});
}

/// Every event of the site, oldest first, as (id, subject).
async fn all_events(admin: &Client) -> Arrivals {
    let mut all = Vec::new();
    let mut path = "/v1/events?limit=1000".to_owned();
    loop {
        let page = admin.get(&path).await.unwrap().success().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        all.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| (text(&event["id"]), text(&event["subject"]))),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/events?limit=1000&cursor={next}"),
            None => return all,
        }
    }
}

async fn publisher(daemon: &Daemon) -> Value {
    daemon.admin().get("/v1/admin/publishers/hook").await.unwrap().success().unwrap()
}

/// Waits until the receiver has every event that the site has.
async fn all_arrived(daemon: &Daemon, receiver: &Receiver) -> Arrivals {
    let until = Instant::now() + LONG;
    loop {
        let events = all_events(&daemon.admin()).await;
        let taken: BTreeSet<_> = receiver.taken().into_iter().collect();
        let missing = events.iter().filter(|event| !taken.contains(*event)).count();
        if missing == 0 && publisher(daemon).await["waiting"] == 0 {
            return events;
        }
        assert!(
            Instant::now() < until,
            "{missing} events of {} are missing\n{}",
            events.len(),
            daemon.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of each order, the first arrivals are in the order of the log, and nothing arrived that the log does not hold.
fn assert_in_order(events: &Arrivals, taken: &Arrivals) {
    let mut first: Arrivals = Vec::new();
    let mut seen = BTreeSet::new();
    for one in taken {
        if seen.insert(one.clone()) {
            first.push(one.clone());
        }
    }
    let known: BTreeSet<_> = events.iter().cloned().collect();
    assert_eq!(seen, known);
    let subjects: BTreeSet<&String> = events.iter().map(|(_, subject)| subject).collect();
    for subject in subjects {
        let of = |all: &Arrivals| -> Vec<String> {
            all.iter().filter(|one| one.1 == *subject).map(|one| one.0.clone()).collect()
        };
        assert_eq!(of(&first), of(events), "order {subject}");
    }
}

/// Orders and deletes, until nobody answers any more.
async fn orders(client: Client) {
    for number in 0..ORDERS {
        let body = small_compute(&format!("c{number}"));
        let Ok(order) = create(&client, "computes", &body).await else { return };
        if number % 3 == 0 && delete(&client, id(&order)).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_every_order_arrives_though_the_daemon_is_killed() {
    let receiver = Receiver { is_moody: true, ..Receiver::default() };
    let (port, _serving) = receiver.clone().listen(0).await;
    let mut site = Site::temporary().unwrap();
    with_webhook(&mut site, port);
    let mut rounds = 0;
    for lives_ms in [600, 200, 900, 400] {
        let daemon = site.start().await.unwrap();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let alice = daemon.login("alice").await.unwrap().with_timeout(Duration::from_secs(5));
            clients.spawn(orders(alice));
        }
        tokio::time::sleep(Duration::from_millis(lives_ms)).await;
        daemon.kill().unwrap();
        clients.join_all().await;
        rounds += 1;
    }
    let daemon = site.start().await.unwrap();
    let listed = daemon.admin().get("/v1/orders?limit=1000").await.unwrap().success().unwrap();
    for order in listed["items"].as_array().unwrap() {
        let wanted = if order["state"] == "closing" { "closed" } else { "fulfilled" };
        reaches(&daemon.admin(), id(order), wanted).await.unwrap();
    }
    let events = all_arrived(&daemon, &receiver).await;
    let taken = receiver.taken();
    assert_in_order(&events, &taken);
    let subjects: BTreeSet<_> = events.iter().map(|(_, subject)| subject).collect();
    println!(
        "{rounds} kills: {} events of {} orders, {} arrivals ({} repetitions)",
        events.len(),
        subjects.len(),
        taken.len(),
        taken.len() - events.len()
    );
    assert!(subjects.len() > 20, "{}", subjects.len());
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_holds_no_order_up_and_gets_everything_when_it_is_back() {
    // A port where nobody listens, yet.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut site = Site::temporary().unwrap();
    with_webhook(&mut site, port);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let compute = create(&alice, "computes", &small_compute("web")).await.unwrap();
    reaches(&alice, id(&compute), "fulfilled").await.unwrap();

    let until = Instant::now() + LONG;
    while publisher(&daemon).await["state"] != "waiting" {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = daemon.anonymous().get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.bytes().to_vec()).unwrap();
    assert!(
        metrics.contains("archipel_publisher_state{publisher=\"hook\",state=\"waiting\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("archipel_publisher_sent_total{publisher=\"hook\"} 0"));
    assert!(!metrics.contains("archipel_publisher_failures_total{publisher=\"hook\"} 0"));
    let listed = site.archipel(&["events", "list"]).unwrap().with_code(0);
    assert!(listed.out.contains("waiting") && listed.out.contains("no connection to"), "{listed:?}");
    let doctor = site.archipel(&["doctor"]).unwrap();
    assert!(doctor.out.contains("look  publisher") && doctor.out.contains("hook: "), "{}", doctor.out);
    daemon.stop().await.unwrap();

    let receiver = Receiver::default();
    let (_, _serving) = receiver.clone().listen(port).await;
    let daemon = site.start().await.unwrap();
    let events = all_arrived(&daemon, &receiver).await;
    assert_in_order(&events, &receiver.taken());
    assert_eq!(receiver.taken().len(), events.len());
    let doctor = site.archipel(&["doctor"]).unwrap();
    assert!(doctor.out.contains("ok    publisher"), "{}", doctor.out);

    let replayed = site.archipel(&["events", "replay", "--publisher", "hook", "--from", "oldest"]);
    replayed.unwrap().with_code(0);
    while receiver.taken().len() < 2 * events.len() {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_in_order(&events, &receiver.taken());
    // A cursor of the administrator's list of events: what comes after it comes again.
    let page = daemon.admin().get("/v1/events?limit=2").await.unwrap().success().unwrap();
    let cursor = page["next"].as_str().unwrap();
    site.archipel(&["events", "replay", "--publisher", "hook", "--from", cursor]).unwrap().with_code(0);
    while receiver.taken().len() < 3 * events.len() - 2 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (arguments, says) in [
        (["--publisher", "hook", "--from", "yesterday"], "cursor"),
        (["--publisher", "none", "--from", "now"], "not"),
    ] {
        let ran =
            site.archipel(&[["events", "replay"].as_slice(), &arguments].concat()).unwrap().with_code(1);
        assert!(ran.err.contains(says), "{ran:?}");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_have_no_business_with_publishers() {
    let mut site = Site::temporary().unwrap();
    with_webhook(&mut site, 9);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let bob = daemon.login("admin").await.unwrap();
    assert_eq!(alice.get("/v1/admin/publishers").await.unwrap().status(), 403);
    assert_eq!(
        alice.post("/v1/admin/publishers/hook/actions/replay", &json!({})).await.unwrap().status(),
        403
    );
    let listed = bob.get("/v1/admin/publishers").await.unwrap().success().unwrap();
    assert_eq!(listed["items"][0]["name"], "hook");
    assert_eq!(bob.get("/v1/admin/publishers/none").await.unwrap().status(), 404);
    daemon.stop().await.unwrap();
}

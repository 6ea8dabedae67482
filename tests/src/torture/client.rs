//! One client: orders and deletes at random, and asks again with the same key until it has an answer, as a good client does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipel_client::{Answer, Client, ClientError};
use http::Method;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::told::Told;

/// When clients begin new work, and when they end.
#[derive(Debug, Default)]
pub struct Flags {
    /// Nothing new is begun; what has no answer yet is asked again.
    pub drain: AtomicBool,
}

/// An order that this client has made and not deleted.
struct Own {
    id: String,
    is_compute: bool,
}

/// What is done to machines. Not hibernation: what rests on such a machine would wait for ever.
const ACTIONS: [&str; 5] = ["pause", "resume", "stop", "start", "reboot"];

/// A request without an answer.
struct Pending {
    method: Method,
    path: String,
    key: String,
    body: Option<Value>,
    subject: Option<String>,
}

/// One client's life: ends when `drain` is set and nothing is pending.
pub async fn run(client: Client, seed: u64, told: Arc<Told>, flags: Arc<Flags>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut own: Vec<Own> = Vec::new();
    loop {
        if flags.drain.load(Ordering::SeqCst) {
            return;
        }
        let request = next_request(&mut rng, &own);
        let answer = ask_until_answered(&client, &request, &told, &mut rng).await;
        note(&request, &answer, &told, &mut own);
        tokio::time::sleep(Duration::from_millis(rng.gen_range(5..60))).await;
    }
}

fn next_request(rng: &mut StdRng, own: &[Own]) -> Pending {
    let key = uuid::Uuid::new_v4().to_string();
    let create = |path: &str, body: Value| Pending {
        method: Method::POST,
        path: path.to_owned(),
        key: key.clone(),
        body: Some(body),
        subject: None,
    };
    let compute = json!({"name": "t", "image": "@cirros", "vcpu": 1, "ram_mib": 256});
    let with_kind = |kind: &str, mut body: Value| {
        body["kind"] = kind.into();
        body
    };
    match rng.gen_range(0..100) {
        0..35 => create("/v1/computes", compute),
        35..50 => create("/v1/volumes", json!({"name": "t", "size_gib": rng.gen_range(1..4)})),
        50..55 => create(
            "/v1/orders",
            json!({"orders": [
                with_kind("network", json!({"name": "t", "cidr": "10.9.0.0/24"})),
                with_kind("compute", json!({
                    "name": "t", "image": "@cirros", "vcpu": 1, "ram_mib": 256, "networks": [{"order": "$0"}],
                })),
            ]}),
        ),
        55..65 => create(
            "/v1/orders",
            json!({"orders": [
                with_kind("compute", compute),
                with_kind("volume", json!({"name": "t", "size_gib": 1})),
                with_kind("attachment", json!({"compute": "$0", "volume": "$1"})),
            ]}),
        ),
        65..75 => {
            let machines: Vec<&Own> = own.iter().filter(|one| one.is_compute).collect();
            match (machines.choose(rng), ACTIONS.choose(rng)) {
                (Some(machine), Some(action)) => {
                    create(&format!("/v1/computes/{}/actions/{action}", machine.id), json!({}))
                }
                _ => create("/v1/computes", compute),
            }
        }
        _ => match own.choose(rng) {
            Some(one) => Pending {
                method: Method::DELETE,
                path: format!("/v1/orders/{}?cascade=true", one.id),
                key,
                body: None,
                subject: Some(one.id.clone()),
            },
            None => create("/v1/computes", compute),
        },
    }
}

/// A daemon that was killed answers nothing: the same request is sent until one does.
async fn ask_until_answered(client: &Client, request: &Pending, told: &Told, rng: &mut StdRng) -> Answer {
    loop {
        let create = [("idempotency-key", request.key.as_str())];
        let delete = [("if-match", "*")];
        let headers = if request.body.is_some() { &create } else { &delete };
        match client.send(request.method.clone(), &request.path, headers, request.body.as_ref()).await {
            Ok(answer) if matches!(answer.status(), 429 | 503) => {}
            Ok(answer) => return answer,
            Err(ClientError::NoAnswer { .. }) => {}
            Err(error) => told.violated(format!("{} {}: {error}", request.method, request.path)),
        }
        tokio::time::sleep(Duration::from_millis(rng.gen_range(20..120))).await;
    }
}

fn note(request: &Pending, answer: &Answer, told: &Told, own: &mut Vec<Own>) {
    let status = answer.status();
    let mut accept = |order: &Value| {
        if let (Some(id), Some(kind)) = (order["id"].as_str(), order["kind"].as_str()) {
            let rests_on = order["depends_on"].as_array().into_iter().flatten();
            let rests_on = rests_on.filter_map(|one| one["order"].as_str()).map(str::to_owned).collect();
            told.accepted(id, kind, rests_on);
            own.push(Own { id: id.to_owned(), is_compute: kind == "compute" });
        } else {
            told.violated(format!("an acknowledged order without id and kind: {order}"));
        }
    };
    match (&request.subject, status) {
        (None, 201) => accept(&answer.json().unwrap_or_default()),
        (None, 200) => {
            let results = answer.json().unwrap_or_default();
            for result in results["results"].as_array().into_iter().flatten() {
                if result["status"] == 201 {
                    accept(&result["order"]);
                }
            }
        }
        (Some(id), 200 | 202 | 204) => {
            told.deleted(id);
            own.retain(|one| one.id != *id);
        }
        // An action was accepted; it cannot be in this state; the machine was closed with what it rested on.
        (None, 202 | 404) if request.path.contains("/actions/") => {}
        (Some(_), 409 | 428) | (None, 409) => {}
        (_, status) => told.violated(format!(
            "{} {} was answered {status}: {}",
            request.method,
            request.path,
            String::from_utf8_lossy(answer.bytes()).chars().take(300).collect::<String>()
        )),
    }
}

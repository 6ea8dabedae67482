//! An OpenStack that is not there: a server on loopback that gives the answers of a recording, in any order in which the
//! recording allows them. With it a whole site (REST, scheduler, mapper, sandbox, the real component) drives a cloud that
//! only answers what a real one once did.
//!
//! The recordings are those of the driver's own tests (`plugins/cloud-openstack/tests/exchanges`), where a replay is strict.
//! Here it cannot be: the host looks when it likes. So:
//!
//! - a request must be one that was recorded: method, path and query, and for a create the body, with this run's site and
//!   order ids in the place of the recorded ones;
//! - an answer is given only after every recorded change before it that is about the same ids has happened, and the newest
//!   change that has happened comes before it; of several answers the earliest that was not given, at the end the last one
//!   again;
//! - a request that was never recorded is answered 599 and told by [`Replayed::strange`].

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The site of all recordings.
const RECORDED_SITE: &str = "recorded.example.org";

/// What begins every tag.
const TAG: &str = "archipel:";

/// Length of an id.
const UUID: usize = 36;

/// The cloud.
pub struct Replayed {
    address: SocketAddr,
    project: String,
    stage: Arc<Mutex<Stage>>,
}

struct Stage {
    site: String,
    token: String,
    exchanges: Vec<Exchange>,
    /// Recorded order → order of this run.
    orders: BTreeMap<String, String>,
    /// The last answer given, by request.
    last: BTreeMap<String, usize>,
    strange: Vec<String>,
}

struct Exchange {
    request: String,
    body: Value,
    status: u64,
    answer: Value,
    /// Ids that it is about.
    ids: Vec<String>,
    is_done: bool,
}

impl Replayed {
    /// Serves the recording in `file` to a site whose driver shows `token`.
    ///
    /// # Errors
    /// When there is no such recording, or no port.
    pub fn serve(file: &Path, site: &str, token: &str) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let recording: Value = serde_json::from_str(&text)?;
        let exchanges = recording["exchanges"].as_array().context("a recording")?.iter().map(Exchange::of);
        let stage = Stage {
            site: site.to_owned(),
            token: token.to_owned(),
            exchanges: exchanges.collect(),
            orders: BTreeMap::new(),
            last: BTreeMap::new(),
            strange: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stage = Arc::new(Mutex::new(stage));
        let served = Arc::clone(&stage);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let stage = Arc::clone(&served);
                std::thread::spawn(move || answer(connection, &stage));
            }
        });
        let project = recording["project"].as_str().context("a recording's project")?.to_owned();
        Ok(Self { address, project, stage })
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a mapper tells the driver.
    pub fn attributes(&self) -> Value {
        let origin = self.origin();
        json!({"openstack": {
            "auth_url": format!("{origin}/identity/v3"), "project_id": self.project, "region": "RegionOne",
            "interface": "public",
            "endpoints": {
                "compute": format!("{origin}/compute/v2.1"),
                "volumev3": format!("{origin}/volume/v3/{}", self.project),
                "network": format!("{origin}/network"),
                "image": format!("{origin}/image"),
            },
        }})
    }

    /// Requests that were never recorded, or came without the token.
    pub fn strange(&self) -> Vec<String> {
        self.stage.lock().expect("nothing panics with it").strange.clone()
    }

    /// Recorded changes that did not happen.
    pub fn undone(&self) -> Vec<String> {
        let stage = self.stage.lock().expect("nothing panics with it");
        let left = stage.exchanges.iter().filter(|exchange| exchange.is_change() && !exchange.is_done);
        left.map(|exchange| exchange.request.clone()).collect()
    }
}

impl Exchange {
    fn of(recorded: &Value) -> Self {
        let service = recorded["service"].as_str().unwrap_or_default();
        let request = format!("{service} {}", recorded["call"].as_str().unwrap_or_default());
        let body = recorded["body"].clone();
        Self {
            ids: uuids(&format!("{request} {body}")),
            status: recorded["status"].as_u64().unwrap_or_default(),
            answer: recorded["answer"].clone(),
            is_done: false,
            request,
            body,
        }
    }

    fn is_change(&self) -> bool {
        !self.request.contains(" GET ") && (200..300).contains(&self.status)
    }

    fn shares_an_id_with(&self, other: &Self) -> bool {
        self.ids.iter().any(|id| other.ids.contains(id))
    }
}

impl Stage {
    /// The answer to a request, as text with its status.
    fn play(&mut self, request: &str, body: &Value) -> (u64, String) {
        self.learn(request, body);
        let recorded = self.as_recorded(request);
        let wanted: Value = serde_json::from_str(&self.as_recorded(&body.to_string())).unwrap_or_default();
        let fits = |exchange: &Exchange| exchange.request == recorded && exchange.body == wanted;
        let candidates: Vec<usize> =
            (0..self.exchanges.len()).filter(|at| fits(&self.exchanges[*at])).collect();
        let last = self.last.get(&recorded).copied();
        let next =
            candidates.iter().copied().find(|at| last.is_none_or(|last| *at > last) && self.is_due(*at));
        let Some(at) = next.or(last).filter(|at| candidates.contains(at)) else {
            self.strange.push(format!("{request} {body}"));
            return (599, r#"{"message":"never recorded"}"#.to_owned());
        };
        self.last.insert(recorded, at);
        let exchange = &mut self.exchanges[at];
        exchange.is_done = true;
        let text = exchange.answer.as_str().map_or_else(|| exchange.answer.to_string(), str::to_owned);
        (exchange.status, self.as_now(&text))
    }

    /// Every change before it about the same ids has happened, and none after it.
    fn is_due(&self, at: usize) -> bool {
        let this = &self.exchanges[at];
        self.exchanges.iter().enumerate().all(|(other, exchange)| {
            !exchange.is_change()
                || other == at
                || !exchange.shares_an_id_with(this)
                || exchange.is_done == (other < at)
        })
    }

    /// A create tells which recorded order is which of this run: they are made from the same specs.
    fn learn(&mut self, request: &str, body: &Value) {
        let Some(order) = order_in(&body.to_string()) else { return };
        if self.orders.values().any(|known| *known == order) {
            return;
        }
        let unknown = |exchange: &&Exchange| {
            exchange.request == request
                && order_in(&exchange.body.to_string())
                    .is_some_and(|recorded| !self.orders.contains_key(&recorded))
        };
        if let Some(recorded) =
            self.exchanges.iter().find(unknown).and_then(|exchange| order_in(&exchange.body.to_string()))
        {
            self.orders.insert(recorded, order);
        }
    }

    fn as_recorded(&self, text: &str) -> String {
        let text = text.replace(&self.site, RECORDED_SITE);
        self.orders.iter().fold(text, |text, (recorded, now)| text.replace(now, recorded))
    }

    fn as_now(&self, text: &str) -> String {
        let text = text.replace(RECORDED_SITE, &self.site);
        self.orders.iter().fold(text, |text, (recorded, now)| text.replace(recorded, now))
    }
}

/// The order of the first whole tag in a text.
fn order_in(text: &str) -> Option<String> {
    text.match_indices(TAG).find_map(|(at, _)| {
        let (_, rest) = text[at + TAG.len()..].split_once(':')?;
        rest.get(..UUID).filter(|id| is_uuid(id)).map(str::to_owned)
    })
}

fn uuids(text: &str) -> Vec<String> {
    let mut found: Vec<String> = (0..text.len())
        .filter_map(|at| text.get(at..at + UUID))
        .filter(|id| is_uuid(id))
        .map(str::to_owned)
        .collect();
    found.dedup();
    found
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// One request, one answer: what the driver sends is small.
fn answer(mut connection: TcpStream, stage: &Mutex<Stage>) {
    let Ok((request, token, body)) = read(&connection) else { return };
    let (status, text) = {
        let mut stage = stage.lock().expect("nothing panics with it");
        if token == stage.token {
            stage.play(&request, &body)
        } else {
            stage.strange.push(format!("{request} with another token"));
            (401, r#"{"error":{"code":401,"message":"no","title":"Unauthorized"}}"#.to_owned())
        }
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        if status == 204 { 0 } else { text.len() }
    );
    let text = if status == 204 { "" } else { &text };
    // A client that is gone has no use for it.
    let _ = connection.write_all(format!("{head}{text}").as_bytes());
}

/// The request as recordings name it, its token, its body.
fn read(connection: &TcpStream) -> Result<(String, String, Value)> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().context("a method")?.to_owned(), words.next().context("a path")?.to_owned());
    let (mut token, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-auth-token" => value.trim().clone_into(&mut token),
            "content-length" => length = value.trim().parse()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // `/volume/v3/PROJECT/volumes` → `volume GET /volumes`.
    let mut parts = path.splitn(3, '/').skip(1);
    let (service, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let skipped = if service == "volume" { 2 } else { 1 };
    let rest = rest.splitn(skipped + 1, '/').nth(skipped).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Ok((format!("{service} {method} /{rest}"), token, body))
}

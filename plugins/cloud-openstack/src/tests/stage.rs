//! Where a scenario plays: at the real peer, recording, or before a recording.
//!
//! A replay is strict: the driver must ask exactly what it asked then, in that order. What differs from run to run (ids
//! of the cloud) it learns from the answers; the ids of the orders are in the recording.

use super::live::Live;
use crate::account::Account;
use crate::cloud::Cloud;
use crate::config::Config;
use crate::wire::{Answer, Call, Service, World};
use archipel_sdk::cloud::{CreateContext, Dependency, OrderRef};
use archipel_sdk::{Result, clock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

/// Names the peer's `peer.json`: record, do not replay.
const PEER: &str = "ARCHIPEL_OPENSTACK_PEER";

/// A file of `tests/exchanges`.
#[derive(Serialize, Deserialize)]
struct Recording {
    /// What was recorded from.
    cloud: String,
    project: String,
    /// What the ids of the orders end in.
    run: String,
    /// What the scenario learned beside the driver.
    #[serde(default)]
    facts: serde_json::Map<String, Value>,
    exchanges: Vec<Exchange>,
}

/// One call and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Exchange {
    service: Service,
    call: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    body: Value,
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    /// JSON, or text.
    answer: Value,
}

/// A scenario's stage.
pub(super) struct Stage {
    name: &'static str,
    live: Option<Live>,
    admin: Option<Live>,
    peer: Value,
    config: Config,
    account: RefCell<Account>,
    recording: RefCell<Recording>,
    at: Cell<usize>,
    wrong_token: Cell<bool>,
    /// Calls since `count` was last asked.
    calls: Cell<usize>,
}

/// Plays a scenario for an account of the peer, in a thread of its own: what a driver remembers, it remembers there.
pub(super) fn play(name: &'static str, account: &'static str, act: fn(&Stage)) {
    let played = std::thread::spawn(move || {
        let stage = Stage::new(name, account);
        act(&stage);
        stage.end();
    });
    if let Err(panic) = played.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Stage {
    fn new(name: &'static str, account: &str) -> Stage {
        let config = Config { default_network: Some("common".to_owned()), ..Config::default() };
        match std::env::var_os(PEER) {
            Some(path) => {
                let peer: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                let live = Live::login(&peer, account);
                live.sweep();
                let recording = Recording {
                    cloud: "OpenStack Zed (Debian 12), tests/peers/openstack".to_owned(),
                    project: live.project.clone(),
                    run: format!("{:012x}", clock::now_ms()),
                    facts: serde_json::Map::new(),
                    exchanges: Vec::new(),
                };
                let admin = Some(Live::login(&peer, "admin"));
                let account = account_of(&live.project, &live.endpoints, &config);
                Stage::of(name, Some(live), admin, peer, config, account, recording)
            }
            None => {
                let text = std::fs::read_to_string(file(name))
                    .unwrap_or_else(|error| panic!("{name}: {error}; see tests.rs for how to record"));
                let recording: Recording = serde_json::from_str(&text).unwrap();
                let endpoints = json!({
                    "compute": "http://compute", "volumev3": "http://volume",
                    "network": "http://network", "image": "http://image"});
                let account = account_of(&recording.project, &endpoints, &config);
                Stage::of(name, None, None, Value::Null, config, account, recording)
            }
        }
    }

    fn of(
        name: &'static str,
        live: Option<Live>,
        admin: Option<Live>,
        peer: Value,
        config: Config,
        account: Account,
        recording: Recording,
    ) -> Stage {
        Stage {
            name,
            live,
            admin,
            peer,
            config,
            account: RefCell::new(account),
            recording: RefCell::new(recording),
            at: Cell::new(0),
            wrong_token: Cell::new(false),
            calls: Cell::new(0),
        }
    }

    /// The cloud as the driver has it.
    pub(super) fn cloud(&self) -> Cloud<'_> {
        Cloud { world: self, config: &self.config, account: self.account.borrow().clone(), is_afresh: false }
    }

    /// The cloud with another configuration.
    pub(super) fn cloud_with<'a>(&'a self, config: &'a Config) -> Cloud<'a> {
        Cloud { world: self, config, account: self.account.borrow().clone(), is_afresh: false }
    }

    /// From here on the token is one that nobody gave.
    pub(super) fn lose_the_token(&self) {
        self.wrong_token.set(true);
    }

    /// Something about the peer that the driver is told from outside: looked up now and kept in the recording.
    pub(super) fn fact(&self, name: &str, look_up: impl FnOnce(&Value, &Live, &Live) -> Value) -> Value {
        if let (Some(live), Some(admin)) = (&self.live, &self.admin) {
            let fact = look_up(&self.peer, live, admin);
            self.recording.borrow_mut().facts.insert(name.to_owned(), fact);
        }
        self.recording
            .borrow()
            .facts
            .get(name)
            .cloned()
            .unwrap_or_else(|| panic!("{}: no fact {name}", self.name))
    }

    /// What only happens at the peer.
    pub(super) fn at_the_peer(&self, act: impl FnOnce(&Live, &Live)) {
        if let (Some(live), Some(admin)) = (&self.live, &self.admin) {
            act(live, admin);
        }
    }

    /// An order of this run.
    pub(super) fn order(&self, number: u8, kind: &str, spec: &Value, on: &[(&OrderRef, &str)]) -> OrderRef {
        let id = format!("019a0000-0000-70{number:02x}-8000-{}", self.recording.borrow().run);
        OrderRef {
            tag: format!("archipel:recorded.example.org:{id}"),
            id,
            kind: kind.to_owned(),
            spec: spec.to_string(),
            dependencies: on
                .iter()
                .map(|(order, instance)| Dependency {
                    order: order.id.clone(),
                    kind: order.kind.clone(),
                    instance_id: (*instance).to_owned(),
                    cloud: "c".to_owned(),
                    site: "recorded.example.org".to_owned(),
                })
                .collect(),
        }
    }

    /// How many calls there were since this was last asked.
    pub(super) fn count(&self) -> usize {
        self.calls.replace(0)
    }

    /// Tries until `done` gives something. A replay does not wait.
    pub(super) fn until<T>(&self, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
        for _ in 0..120 {
            if let Some(done) = done() {
                return done;
            }
            if self.live.is_some() {
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        panic!("{}: never {what}", self.name)
    }

    /// The end: everything was replayed, or the recording is written.
    fn end(&self) {
        let recording = self.recording.borrow();
        if self.live.is_some() {
            std::fs::write(file(self.name), serde_json::to_string_pretty(&*recording).unwrap() + "\n")
                .unwrap();
        } else {
            let left = recording.exchanges.len() - self.at.get();
            assert_eq!(left, 0, "{}: {left} recorded exchanges were not asked for", self.name);
        }
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges").join(format!("{name}.json"))
}

fn account_of(project: &str, endpoints: &Value, config: &Config) -> Account {
    let attributes =
        json!({"openstack": {"project_id": project, "region": "RegionOne", "endpoints": endpoints}});
    Account::new(serde_json::from_value(attributes).unwrap(), config)
}

/// The context of an attempt.
pub(super) fn attempt(order: &OrderRef, attempt: u32) -> CreateContext {
    CreateContext { order: order.clone(), attempt, idempotency_key: order.id.clone(), deadline_ms: 60_000 }
}

impl World for Stage {
    fn send(&self, call: &Call) -> Result<Answer> {
        self.calls.set(self.calls.get() + 1);
        let account = self.account.borrow();
        let path = call.url.strip_prefix(account.endpoint(call.service)?).unwrap_or(&call.url);
        let asked = format!("{} {path}", call.method);
        let body: Value =
            call.body.as_deref().map_or(Value::Null, |body| serde_json::from_str(body).unwrap());
        let mut recording = self.recording.borrow_mut();
        if let Some(live) = &self.live {
            let wrong = self.wrong_token.get().then(|| live.with_a_wrong_token());
            let answer = wrong.as_ref().unwrap_or(live).send(call)?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let mut shown = serde_json::from_slice(&answer.body).unwrap_or(Value::String(text));
            clean(&mut shown);
            recording.exchanges.push(Exchange {
                service: call.service,
                call: asked,
                body,
                status: answer.status,
                retry_after: answer.retry_after.clone(),
                answer: shown,
            });
            return Ok(answer);
        }
        let Some(next) = recording.exchanges.get(self.at.get()) else {
            panic!("{}: the recording ends before {} {asked}", self.name, call.service.name())
        };
        assert_eq!(
            (next.service, next.call.as_str(), &next.body),
            (call.service, asked.as_str(), &body),
            "{}: exchange {} of the recording",
            self.name,
            self.at.get()
        );
        self.at.set(self.at.get() + 1);
        let body = match &next.answer {
            Value::String(text) => text.clone().into_bytes(),
            json => json.to_string().into_bytes(),
        };
        Ok(Answer { status: next.status, retry_after: next.retry_after.clone(), body })
    }

    fn now_ms(&self) -> u64 {
        // A recording's clock stands still: nothing grows old in it but by being asked for anew.
        0
    }

    fn recall(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn remember(&self, _: &str, _: &[u8]) {}
}

/// Takes out what is secret, and links, which nobody follows.
fn clean(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("links");
            for (key, value) in members.iter_mut() {
                if key == "adminPass" {
                    *value = "removed".into();
                }
                clean(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

//! A world in memory: time stands still until it is moved, and storage can die after any write. A dead world refuses
//! everything, as a killed daemon would; `revive` is its restart.

use crate::cloud::Cloud;
use crate::config::Config;
use crate::naming::Kind;
use crate::power::Action;
use crate::world::{Keys, World};
use archipel_sdk::cloud::{CreateContext, Created, Dependency, Instance, Known, Observed, OrderRef, Tagged};
use archipel_sdk::{Error, Result};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
pub(super) struct State {
    pub(super) map: BTreeMap<String, Vec<u8>>,
    pub(super) now: u64,
    pub(super) slept: u64,
    pub(super) writes: usize,
    pub(super) reads: usize,
    chance: u64,
    dies_after: Option<usize>,
    is_dead: bool,
}

/// Clones share the same state.
#[derive(Clone, Default)]
pub(super) struct FakeWorld(Arc<Mutex<State>>);

impl FakeWorld {
    pub(super) fn new() -> Self {
        let world = FakeWorld::default();
        world.state().now = 1_700_000_000_000;
        world
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Dies instead of carrying out write number `writes` + 1 from now.
    pub(super) fn dies_after(&self, writes: usize) {
        let mut state = self.state();
        state.dies_after = Some(state.writes + writes);
    }

    pub(super) fn revive(&self) {
        let mut state = self.state();
        state.is_dead = false;
        state.dies_after = None;
    }

    pub(super) fn pass(&self, ms: u64) {
        self.state().now += ms;
    }
}

fn killed() -> Error {
    Error::permanent("killed")
}

impl World for FakeWorld {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut state = self.state();
        state.reads += 1;
        if state.is_dead { Err(killed()) } else { Ok(state.map.get(key).cloned()) }
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        let mut state = self.state();
        assert!(key.len() <= 256 && new.is_none_or(|new| new.len() <= 256 * 1024));
        state.is_dead |= state.dies_after.is_some_and(|most| state.writes >= most);
        if state.is_dead {
            return Err(killed());
        }
        if state.map.get(key).map(Vec::as_slice) != expected {
            return Ok(false);
        }
        state.writes += 1;
        match new {
            Some(new) => state.map.insert(key.to_owned(), new.to_vec()),
            None => state.map.remove(key),
        };
        Ok(true)
    }

    fn keys(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Keys> {
        let state = self.state();
        if state.is_dead {
            return Err(killed());
        }
        let after = |key: &&String| cursor.is_none_or(|cursor| key.as_str() > cursor);
        let mut keys = state.map.range(prefix.to_owned()..).map(|(key, _)| key);
        let all = keys.by_ref().take_while(|key| key.starts_with(prefix)).filter(after);
        let mut keys: Vec<String> = all.take(limit as usize + 1).cloned().collect();
        let has_more = keys.len() > limit as usize;
        keys.truncate(limit as usize);
        let next = keys.last().cloned().filter(|_| has_more);
        Ok(Keys { keys, next })
    }

    fn now_ms(&self) -> u64 {
        self.state().now
    }

    fn random(&self) -> u64 {
        let mut state = self.state();
        state.chance += 1;
        crate::naming::mix(&state.chance.to_string())
    }

    fn sleep(&self, ms: u64) {
        let mut state = self.state();
        state.now += ms;
        state.slept += ms;
    }
}

pub(super) fn config(json: &str) -> Config {
    let mut config: Config = serde_json::from_str(json).unwrap();
    if !json.contains("latency_ms") {
        config.latency_ms = 0;
    }
    config
}

/// An order named `id`; dependencies as `(kind, order, instance)`.
pub(super) fn order(kind: Kind, id: &str, spec: &str, dependencies: &[(&str, &str, &str)]) -> OrderRef {
    OrderRef {
        id: id.to_owned(),
        tag: format!("archipel:site:{id}"),
        kind: kind.word().to_owned(),
        spec: spec.to_owned(),
        dependencies: dependencies
            .iter()
            .map(|(kind, order, instance)| Dependency {
                order: (*order).to_owned(),
                kind: (*kind).to_owned(),
                instance_id: (*instance).to_owned(),
                cloud: "c".to_owned(),
                site: "site".to_owned(),
            })
            .collect(),
    }
}

/// One account at work, with what a test says often in few words.
pub(super) struct Desk<'a, W> {
    pub(super) cloud: Cloud<'a, W>,
    attempt: Cell<u32>,
}

impl<'a, W: World> Desk<'a, W> {
    pub(super) fn of(world: &'a W, config: &'a Config, account: &str) -> Self {
        Desk { cloud: Cloud::enter(world, config, account, None).unwrap(), attempt: Cell::new(1) }
    }

    pub(super) fn attempt(&self, attempt: u32) -> &Self {
        self.attempt.set(attempt);
        self
    }

    pub(super) fn make(&self, kind: Kind, order: &OrderRef) -> Result<Created> {
        let context = CreateContext {
            order: order.clone(),
            attempt: self.attempt.get(),
            idempotency_key: order.id.clone(),
            deadline_ms: 7000,
        };
        self.cloud.request(kind, &context)
    }

    pub(super) fn compute(&self, id: &str, spec: &str) -> Result<String> {
        self.make(Kind::Compute, &order(Kind::Compute, id, spec, &[])).map(|made| made.id)
    }

    pub(super) fn volume(&self, id: &str, gib: u64) -> Result<String> {
        let spec = format!(r#"{{"size_gib": {gib}}}"#);
        self.make(Kind::Volume, &order(Kind::Volume, id, &spec, &[])).map(|made| made.id)
    }

    pub(super) fn network(&self, id: &str, cidr: &str) -> Result<String> {
        let spec = format!(r#"{{"cidr": "{cidr}"}}"#);
        self.make(Kind::Network, &order(Kind::Network, id, &spec, &[])).map(|made| made.id)
    }

    pub(super) fn attach(&self, id: &str, compute: &str, volume: &str) -> Result<String> {
        let both = [("compute", "c", compute), ("volume", "v", volume)];
        let spec = r#"{"compute": "c", "volume": "v"}"#;
        self.make(Kind::Attachment, &order(Kind::Attachment, id, spec, &both)).map(|made| made.id)
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<Option<Instance>> {
        let order = order(kind, "any", "{}", &[]);
        let known = Known { id, driver_state: r#"{"v":1}"#, order: &order };
        Ok(match self.cloud.get(kind, known)? {
            Observed::Present(instance) => Some(instance),
            Observed::Gone => None,
        })
    }

    pub(super) fn delete(&self, kind: Kind, id: &str) -> Result<()> {
        let order = order(kind, "any", "{}", &[]);
        self.cloud.delete(kind, Known { id, driver_state: r#"{"v":1}"#, order: &order })
    }

    pub(super) fn act(&self, action: Action, id: &str) -> Result<()> {
        let order = order(Kind::Compute, "any", "{}", &[]);
        self.cloud.act(action, Known { id, driver_state: r#"{"v":1}"#, order: &order })
    }

    pub(super) fn find(&self, kind: Kind, id: &str) -> Result<Vec<Tagged>> {
        self.cloud.find(kind, &order(kind, id, "{}", &[]))
    }

    pub(super) fn used(&self, name: &str) -> u64 {
        self.cloud.quota().unwrap().iter().find(|entry| entry.name == name).unwrap().used
    }
}

//! Several instances of the driver over one store, their storage calls in every order that a seeded scheduler draws;
//! some of them are killed on the way.

use super::fake::{Desk, FakeWorld, config, order};
use super::ledgers::{check, instances};
use crate::config::Config;
use crate::naming::{Kind, mix};
use crate::power::Action;
use crate::record::Body;
use crate::world::{Keys, World};
use archipel_sdk::{Error, Result};
use std::sync::{Condvar, Mutex};

/// Lets one actor at a time make one storage call.
struct Turnstile {
    world: FakeWorld,
    seed: u64,
    turns: Mutex<Turns>,
    moved: Condvar,
}

struct Turns {
    drawn: u64,
    current: usize,
    present: Vec<usize>,
}

impl Turnstile {
    fn pass<T>(&self, actor: usize, act: impl FnOnce() -> T) -> T {
        let mut turns =
            self.moved.wait_while(self.turns.lock().unwrap(), |turns| turns.current != actor).unwrap();
        let answer = act();
        self.draw(&mut turns);
        answer
    }

    fn leave(&self, actor: usize) {
        let mut turns =
            self.moved.wait_while(self.turns.lock().unwrap(), |turns| turns.current != actor).unwrap();
        turns.present.retain(|other| *other != actor);
        self.draw(&mut turns);
    }

    fn draw(&self, turns: &mut Turns) {
        turns.drawn += 1;
        let count = turns.present.len();
        if count > 0 {
            turns.current = turns.present[mix(&format!("{}/{}", self.seed, turns.drawn)) as usize % count];
        }
        self.moved.notify_all();
    }
}

/// One actor's way to the world. It is killed when its calls are used up.
struct Actor<'a> {
    turnstile: &'a Turnstile,
    number: usize,
    calls: Mutex<usize>,
}

impl Actor<'_> {
    fn pass<T>(&self, act: impl FnOnce(&FakeWorld) -> Result<T>) -> Result<T> {
        self.turnstile.pass(self.number, || {
            let mut calls = self.calls.lock().unwrap();
            *calls = calls.checked_sub(1).ok_or_else(|| Error::permanent("killed"))?;
            act(&self.turnstile.world)
        })
    }
}

impl World for Actor<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.pass(|world| world.get(key))
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        self.pass(|world| world.swap(key, expected, new))
    }

    fn keys(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Keys> {
        self.pass(|world| world.keys(prefix, cursor, limit))
    }

    /// Time jumps now and then, far enough that a slow actor is taken for a dead one.
    fn now_ms(&self) -> u64 {
        if self.turnstile.world.random() % 8 == 0 {
            self.turnstile.world.pass(1600);
        }
        self.turnstile.world.now_ms()
    }

    fn random(&self) -> u64 {
        self.turnstile.world.random()
    }

    fn sleep(&self, _: u64) {}
}

type Part<'a> = &'a (dyn Fn(&Desk<'_, Actor<'_>>) + Sync);

/// Runs the parts side by side, in an order drawn from `seed`; a third of the seeds kills one of them.
fn race(world: &FakeWorld, config: &Config, seed: u64, parts: &[Part<'_>]) {
    let turns = Turns { drawn: 0, current: seed as usize % parts.len(), present: (0..parts.len()).collect() };
    let turnstile = Turnstile { world: world.clone(), seed, turns: Mutex::new(turns), moved: Condvar::new() };
    std::thread::scope(|scope| {
        for (number, part) in parts.iter().enumerate() {
            let is_killed = seed % 3 == 0 && mix(&format!("{seed}")) as usize % parts.len() == number;
            let calls = if is_killed { mix(&format!("{seed}/calls")) as usize % 25 } else { usize::MAX };
            let actor = Actor { turnstile: &turnstile, number, calls: Mutex::new(calls) };
            scope.spawn(move || {
                part(&Desk::of(&actor, config, "a"));
                actor.turnstile.leave(number);
            });
        }
    });
}

const CIRROS: &str = r#"{"image": "@cirros"}"#;
const SEEDS: u64 = 600;

#[test]
fn two_creates_never_share_the_last_slot() {
    let config = config(r#"{"boot_ms": 0, "delete_ms": 0, "capacity": {"instances": 2}}"#);
    for seed in 0..SEEDS {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        desk.compute("0", CIRROS).unwrap();
        let make = |id: &'static str| move |desk: &Desk<'_, Actor<'_>>| drop(desk.compute(id, CIRROS));
        race(&world, &config, seed, &[&make("1"), &make("2"), &make("3")]);
        assert!(instances(&world).len() <= 2, "seed {seed}");
        check(&world, &desk, &format!("with seed {seed}"));
    }
}

#[test]
fn deletes_at_the_same_time_uncount_once() {
    let config = config(r#"{"boot_ms": 0, "delete_ms": 0}"#);
    for seed in 0..SEEDS {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        let id = desk.compute("1", CIRROS).unwrap();
        desk.compute("2", CIRROS).unwrap();
        let delete = |desk: &Desk<'_, Actor<'_>>| drop(desk.delete(Kind::Compute, &id));
        let look = |desk: &Desk<'_, Actor<'_>>| {
            desk.get(Kind::Compute, &id).ok();
            desk.cloud.quota().ok();
        };
        let make = |desk: &Desk<'_, Actor<'_>>| drop(desk.compute("3", CIRROS));
        race(&world, &config, seed, &[&delete, &delete, &look, &make]);
        desk.delete(Kind::Compute, &id).unwrap();
        check(&world, &desk, &format!("with seed {seed}"));
    }
}

#[test]
fn a_volume_is_attached_once_or_deleted_but_never_both() {
    let slow = config(r#"{"boot_ms": 0, "delete_ms": 60000}"#);
    let quick = config(r#"{"boot_ms": 0, "delete_ms": 0}"#);
    for seed in 0..2 * SEEDS {
        let config = if seed % 2 == 0 { &slow } else { &quick };
        let world = FakeWorld::new();
        let desk = Desk::of(&world, config, "a");
        let (compute, volume) = (desk.compute("1", CIRROS).unwrap(), desk.volume("v", 1).unwrap());
        let attach = |id: &'static str| {
            let (compute, volume) = (compute.clone(), volume.clone());
            move |desk: &Desk<'_, Actor<'_>>| drop(desk.attach(id, &compute, &volume))
        };
        let delete = |desk: &Desk<'_, Actor<'_>>| {
            desk.delete(Kind::Volume, &volume).ok();
            desk.get(Kind::Volume, &volume).ok();
        };
        race(&world, config, seed, &[&attach("a"), &attach("b"), &delete]);
        check(&world, &desk, &format!("with seed {seed}"));
    }
}

#[test]
fn a_network_is_joined_or_deleted_but_never_both() {
    let config = config(r#"{"boot_ms": 0, "delete_ms": 0}"#);
    for seed in 0..SEEDS {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        let network = desk.network("n", "10.9.0.0/29").unwrap();
        let spec = format!(r#"{{"image": "@cirros", "networks": [{{"cloud_id": "{network}"}}]}}"#);
        let join = |id: &'static str| {
            let spec = spec.clone();
            move |desk: &Desk<'_, Actor<'_>>| drop(desk.compute(id, &spec))
        };
        let delete = |desk: &Desk<'_, Actor<'_>>| drop(desk.delete(Kind::Network, &network));
        race(&world, &config, seed, &[&join("1"), &delete, &join("2"), &delete]);
        check(&world, &desk, &format!("with seed {seed}"));
    }
}

#[test]
fn a_machine_goes_one_way_or_is_deleted() {
    let config = config(r#"{"boot_ms": 0, "delete_ms": 60000, "power_ms": 60000}"#);
    for seed in 0..SEEDS {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        let id = desk.compute("1", CIRROS).unwrap();
        let taken = Mutex::new(Vec::new());
        let act = |action: Action| {
            let (id, taken) = (&id, &taken);
            move |desk: &Desk<'_, Actor<'_>>| {
                if desk.act(action, id).is_ok() {
                    taken.lock().unwrap().push(action);
                }
            }
        };
        let delete = |desk: &Desk<'_, Actor<'_>>| drop(desk.delete(Kind::Compute, &id));
        race(&world, &config, seed, &[&act(Action::Stop), &act(Action::Pause), &delete]);
        assert!(taken.into_inner().unwrap().len() <= 1, "seed {seed}: both were accepted");
        desk.delete(Kind::Compute, &id).unwrap();
        check(&world, &desk, &format!("with seed {seed}"));
    }
}

#[test]
fn addresses_stay_unique_when_all_want_the_same_one() {
    let config = config(r#"{"boot_ms": 0, "delete_ms": 0}"#);
    for seed in 0..SEEDS {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        let old = desk.compute("o", CIRROS).unwrap();
        let again = |desk: &Desk<'_, Actor<'_>>| {
            drop(desk.make(Kind::Compute, &order(Kind::Compute, "o", CIRROS, &[])))
        };
        let delete = |desk: &Desk<'_, Actor<'_>>| drop(desk.delete(Kind::Compute, &old));
        race(&world, &config, seed, &[&again, &delete, &again]);
        check(&world, &desk, &format!("with seed {seed}"));
        for (_, record, _) in instances(&world) {
            assert!(matches!(&record.body, Body::Compute { addresses, .. } if addresses.len() == 1));
        }
    }
}

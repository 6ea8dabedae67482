//! A kill after every write, one by one.
//!
//! A scenario is run until the storage dies after its Nth write; then the world is revived and a host that searches
//! before it creates takes it up from the beginning. For every N the cloud must hold exactly one instance per order
//! at the top of the scenario, nothing at its end, and count right all along.

use super::fake::{Desk, FakeWorld, config, order};
use super::ledgers::{check, instances};
use crate::config::Config;
use crate::naming::Kind;
use archipel_sdk::cloud::OrderRef;
use archipel_sdk::{ErrorKind, Result};

/// Room for exactly what the scenario needs: whatever a kill leaves counted is in the way.
fn tight() -> Config {
    config(
        r#"{"boot_ms": 100, "delete_ms": 100,
            "capacity": {"instances": 2, "vcpu": 2, "ram_mib": 1024, "disk_gib": 20, "volumes": 1, "networks": 1}}"#,
    )
}

/// As a careful host does it: search, adopt what is there, else create; wait where told to.
fn ensure(world: &FakeWorld, desk: &Desk<'_, FakeWorld>, kind: Kind, order: &OrderRef) -> Result<String> {
    for _ in 0..20 {
        let found = desk.cloud.find(kind, order)?;
        assert!(found.len() <= 1, "{kind:?} doubled");
        if let Some(tagged) = found.first() {
            world.pass(200);
            return Ok(tagged.instance.id.clone());
        }
        match desk.make(kind, order) {
            Err(error) if error.kind() == ErrorKind::Transient => world.pass(300),
            Err(error) => return Err(error),
            Ok(made) => {
                world.pass(200);
                return Ok(made.id);
            }
        }
    }
    panic!("{kind:?} was never made");
}

/// Deletes until it is gone.
fn dismiss(world: &FakeWorld, desk: &Desk<'_, FakeWorld>, kind: Kind, id: &str) -> Result<()> {
    for _ in 0..20 {
        match desk.delete(kind, id) {
            Err(error) if error.kind() == ErrorKind::Transient => {}
            other => other?,
        }
        world.pass(300);
        if desk.get(kind, id)?.is_none() {
            return Ok(());
        }
    }
    panic!("{kind:?} was never gone");
}

struct Made {
    network: String,
    volume: String,
    computes: [String; 2],
    attachment: String,
}

fn build(world: &FakeWorld, desk: &Desk<'_, FakeWorld>) -> Result<Made> {
    let network_order = order(Kind::Network, "n", r#"{"cidr": "10.9.0.0/29"}"#, &[]);
    let network = ensure(world, desk, Kind::Network, &network_order)?;
    let volume = ensure(world, desk, Kind::Volume, &order(Kind::Volume, "v", r#"{"size_gib": 10}"#, &[]))?;
    let spec = r#"{"image": "@cirros", "networks": [{"order": "n"}, {"cloud_id": "default"}]}"#;
    let compute = |id| {
        ensure(world, desk, Kind::Compute, &order(Kind::Compute, id, spec, &[("network", "n", &network)]))
    };
    let computes = [compute("c1")?, compute("c2")?];
    let both = [("compute", "c", computes[0].as_str()), ("volume", "v", volume.as_str())];
    let attachment_order = order(Kind::Attachment, "a", r#"{"compute": "c", "volume": "v"}"#, &both);
    let attachment = ensure(world, desk, Kind::Attachment, &attachment_order)?;
    Ok(Made { network, volume, computes, attachment })
}

fn unmake(world: &FakeWorld, desk: &Desk<'_, FakeWorld>, made: &Made) -> Result<()> {
    dismiss(world, desk, Kind::Attachment, &made.attachment)?;
    dismiss(world, desk, Kind::Compute, &made.computes[0])?;
    dismiss(world, desk, Kind::Compute, &made.computes[1])?;
    dismiss(world, desk, Kind::Volume, &made.volume)?;
    dismiss(world, desk, Kind::Network, &made.network)
}

#[test]
fn a_kill_after_any_write_of_making_leaves_one_instance_per_order() {
    let config = tight();
    for writes in 0.. {
        let mut survived = false;
        for (settles_at_once, first_to_go) in [(true, 0), (false, 0), (false, 1)] {
            let world = FakeWorld::new();
            let desk = Desk::of(&world, &config, "a");
            world.dies_after(writes);
            survived = build(&world, &desk).is_ok();
            world.revive();
            let when = format!("killed after write {writes}");
            if settles_at_once {
                check(&world, &desk, &when);
            }
            let made = build(&world, &desk).unwrap();
            assert_eq!(instances(&world).len(), 5, "{when}");
            dismiss(&world, &desk, Kind::Attachment, &made.attachment).unwrap();
            dismiss(&world, &desk, Kind::Compute, &made.computes[first_to_go]).unwrap();
            assert_eq!(instances(&world).len(), 3, "{when}");
            check(&world, &desk, &when);
            unmake(&world, &desk, &made).unwrap();
            check(&world, &desk, &when);
            assert_eq!((instances(&world).len(), desk.used("storage_gib")), (0, 0), "{when}");
        }
        if survived {
            assert!(writes > 15, "{writes} writes in all");
            break;
        }
    }
}

#[test]
fn a_kill_after_any_write_of_deleting_leaves_nothing_behind() {
    let config = tight();
    for writes in 0.. {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        let made = build(&world, &desk).unwrap();
        world.dies_after(writes);
        let survived = unmake(&world, &desk, &made).is_ok();
        world.revive();
        let when = format!("killed after write {writes}");
        check(&world, &desk, &when);
        unmake(&world, &desk, &made).unwrap();
        check(&world, &desk, &when);
        assert_eq!((instances(&world).len(), desk.used("storage_gib")), (0, 0), "{when}");
        let made = build(&world, &desk).unwrap();
        assert_eq!(instances(&world).len(), 5, "{when}");
        unmake(&world, &desk, &made).unwrap();
        if survived {
            assert!(writes > 15, "{writes} writes in all");
            break;
        }
    }
}

#[test]
fn two_kills_are_as_harmless_as_one() {
    let config = tight();
    for (first, second) in (0..30).flat_map(|first| (0..30).map(move |second| (first, second))) {
        let world = FakeWorld::new();
        let desk = Desk::of(&world, &config, "a");
        world.dies_after(first);
        build(&world, &desk).ok();
        world.revive();
        world.dies_after(second);
        build(&world, &desk).ok();
        world.revive();
        let made = build(&world, &desk).unwrap();
        let when = format!("killed after writes {first} and {second}");
        check(&world, &desk, &when);
        unmake(&world, &desk, &made).unwrap();
        check(&world, &desk, &when);
    }
}

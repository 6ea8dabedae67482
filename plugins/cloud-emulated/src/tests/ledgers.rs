//! What must hold of the stored state whatever has happened, once every doubt has been settled.

use super::fake::{Desk, FakeWorld};
use crate::instances::{phase, record};
use crate::ledger::Amounts;
use crate::record::{Body, Phase, Record};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Every instance that is not gone, with its key and phase.
pub(super) fn instances(world: &FakeWorld) -> Vec<(String, Record, Phase)> {
    let keys: Vec<String> = world.state().map.keys().filter(|key| key.starts_with("i/")).cloned().collect();
    let mut all = Vec::new();
    for key in keys {
        if let Some(record) = record(world, &key).unwrap() {
            let phase = phase(world, &key, &record).unwrap();
            if phase != Phase::Gone {
                all.push((key, record, phase));
            }
        }
    }
    all
}

/// Lets every doubt become old, settles it, and checks the state of the only account.
pub(super) fn check(world: &FakeWorld, desk: &Desk<'_, impl World>, after: &str) {
    world.pass(1600);
    let quota = desk.cloud.quota().unwrap();
    let all = instances(world);

    let counted = all.iter().filter(|(_, record, _)| record.gone_at.is_none());
    let sum = counted.fold(Amounts::default(), |sum, (_, record, _)| sum.plus(record.charge));
    let used = |name: &str| quota.iter().find(|entry| entry.name == name).unwrap().used;
    assert_eq!(used("instances"), sum.instances, "instances counted wrong {after}");
    assert_eq!(used("vcpu"), sum.vcpu, "vcpu counted wrong {after}");
    assert_eq!(used("storage_gib"), sum.disk_gib, "storage counted wrong {after}");
    assert_eq!(used("volumes"), sum.volumes, "volumes counted wrong {after}");
    assert_eq!(used("networks"), sum.networks, "networks counted wrong {after}");
    for entry in &quota {
        assert!(entry.used <= entry.total.unwrap(), "{} over its total {after}", entry.name);
    }

    let ids: BTreeSet<&str> = all.iter().map(|(_, record, _)| record.id.as_str()).collect();
    let mut addresses = BTreeSet::new();
    let mut attached = BTreeMap::new();
    for (key, record, phase) in &all {
        match &record.body {
            Body::Compute { addresses: own, .. } => {
                for address in own {
                    assert!(
                        addresses.insert((&address.network, &address.ip)),
                        "two computes share {address:?} {after}"
                    );
                    let is_shared = !address.network.starts_with("net-");
                    assert!(
                        is_shared || ids.contains(address.network.as_str()),
                        "{key} is in no network {after}"
                    );
                }
            }
            Body::Attachment { volume, compute } => {
                assert!(attached.insert(volume, key).is_none(), "volume {volume} is attached twice {after}");
                assert!(ids.contains(volume.as_str()), "{key} has no volume {after}");
                assert!(ids.contains(compute.as_str()), "{key} has no compute {after}");
                let volume = all.iter().find(|(_, other, _)| other.id == *volume).unwrap();
                let is_leaving = matches!(volume.2, Phase::Deleting { .. });
                assert!(!is_leaving || *phase != Phase::Ready, "{key} is on a volume that leaves {after}");
            }
            _ => {}
        }
    }
}

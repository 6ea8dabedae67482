//! What the project may use and uses, by all services: the contract's words first, then the cloud's own.
//!
//! Three calls. Each service counts for itself and for everybody in the project. −1 means no limit.

use crate::cloud::{self, Cloud, segment};
use crate::wire::Service;
use archipel_sdk::Result;
use archipel_sdk::cloud::QuotaEntry;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Nova's and Cinder's `limits`.
#[derive(Deserialize)]
struct Limits {
    limits: Absolute,
}

#[derive(Deserialize)]
struct Absolute {
    absolute: BTreeMap<String, i64>,
}

/// Neutron's `quotas/PROJECT/details.json`.
#[derive(Deserialize)]
struct Details {
    quota: BTreeMap<String, Counted>,
}

#[derive(Deserialize)]
struct Counted {
    limit: i64,
    #[serde(default)]
    used: i64,
    #[serde(default)]
    reserved: i64,
}

/// Neutron's `quotas/PROJECT`, from a time when it did not count.
#[derive(Deserialize)]
struct Quotas {
    quota: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Anything {}

/// Our word or the cloud's, its limit, its use.
type Counter = (&'static str, &'static str, &'static str);

const NOVA: &[Counter] = &[
    ("instances", "maxTotalInstances", "totalInstancesUsed"),
    ("vcpu", "maxTotalCores", "totalCoresUsed"),
    ("ram_mib", "maxTotalRAMSize", "totalRAMUsed"),
];

const CINDER: &[Counter] = &[
    ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
    ("storage_gib", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
];

const NOVA_OWN: &[Counter] = &[("server_groups", "maxServerGroups", "totalServerGroupsUsed")];

const CINDER_OWN: &[Counter] = &[
    ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
    ("backups", "maxTotalBackups", "totalBackupsUsed"),
    ("backup_gib", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
];

/// Our words for Neutron's; what it counts beside keeps its own.
const NEUTRON: &[(&str, &str)] = &[("networks", "network"), ("public_ips", "floatingip")];

/// The account's quota.
pub(crate) fn get(cloud: &Cloud<'_>) -> Result<Vec<QuotaEntry>> {
    let nova = limits(cloud, Service::Compute)?;
    let cinder = limits(cloud, Service::Volume)?;
    let neutron = neutron(cloud)?;
    let mut entries: Vec<QuotaEntry> = Vec::new();
    entries.extend(NOVA.iter().filter_map(|counter| counted(&nova, counter)));
    entries.extend(CINDER.iter().filter_map(|counter| counted(&cinder, counter)));
    for (ours, theirs) in NEUTRON {
        entries.extend(neutron.get(*theirs).map(|counted| counted.entry(ours)));
    }
    entries.extend(NOVA_OWN.iter().filter_map(|counter| counted(&nova, counter)));
    entries.extend(CINDER_OWN.iter().filter_map(|counter| counted(&cinder, counter)));
    let own = neutron.iter().filter(|(word, _)| !NEUTRON.iter().any(|(_, theirs)| theirs == word));
    entries.extend(own.map(|(word, counted)| counted.entry(word)));
    Ok(entries)
}

/// Empty where the catalogue has no such service: a cloud without volumes still has a quota of machines.
fn limits(cloud: &Cloud<'_>, service: Service) -> Result<BTreeMap<String, i64>> {
    if cloud.account.endpoint(service).is_err() {
        return Ok(BTreeMap::new());
    }
    cloud.get::<Limits>(service, "/limits", &[]).map(|answer| answer.limits.absolute)
}

fn counted(limits: &BTreeMap<String, i64>, (ours, limit, used): &Counter) -> Option<QuotaEntry> {
    Some(Counted { limit: *limits.get(*limit)?, used: *limits.get(*used)?, reserved: 0 }.entry(ours))
}

fn neutron(cloud: &Cloud<'_>) -> Result<BTreeMap<String, Counted>> {
    if cloud.account.endpoint(Service::Network).is_err() {
        return Ok(BTreeMap::new());
    }
    let project = segment(&cloud.account.project)?;
    let (call, answer) =
        cloud.ask(Service::Network, "GET", &format!("/quotas/{project}/details.json"), &[], None)?;
    // The extension `quota_details` is not there: limits as told, and the two that have our words counted.
    if answer.status == 404 {
        return undetailed(cloud, project);
    }
    cloud::read::<Details>(&call, answer).map(|details| details.quota)
}

fn undetailed(cloud: &Cloud<'_>, project: &str) -> Result<BTreeMap<String, Counted>> {
    let quotas: Quotas = cloud.get(Service::Network, &format!("/quotas/{project}"), &[])?;
    let mut counts = BTreeMap::new();
    for (word, path) in [("network", "/networks"), ("floatingip", "/floatingips")] {
        let Some(limit) = quotas.quota.get(word).and_then(Value::as_i64) else { continue };
        let key = path.trim_start_matches('/');
        let used: Vec<Anything> =
            cloud.all(Service::Network, path, key, &[("project_id", project), ("fields", "id")])?;
        counts.insert(
            word.to_owned(),
            Counted { limit, used: i64::try_from(used.len()).unwrap_or(i64::MAX), reserved: 0 },
        );
    }
    Ok(counts)
}

impl Counted {
    fn entry(&self, name: &str) -> QuotaEntry {
        let used = self.used.saturating_add(self.reserved);
        QuotaEntry {
            name: name.to_owned(),
            total: u64::try_from(self.limit).ok(),
            used: u64::try_from(used).unwrap_or_default(),
        }
    }
}

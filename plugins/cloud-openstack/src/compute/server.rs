//! A server as Nova shows it, in our words.
//!
//! | Nova's `status` | ours |
//! |---|---|
//! | `BUILD` | creating |
//! | `ACTIVE`; `VERIFY_RESIZE` (it runs and waits for a confirmation) | ready |
//! | `REBOOT`, `HARD_REBOOT`, `REBUILD`, `RESIZE`, `REVERT_RESIZE`, `MIGRATING`, `PASSWORD`, `RESCUE` | busy |
//! | `PAUSED` | paused |
//! | `SHUTOFF` | stopped |
//! | `SUSPENDED`, `SHELVED`, `SHELVED_OFFLOADED` | hibernated |
//! | `ERROR` | failed, with the fault's message |
//! | `DELETED`, `SOFT_DELETED` | gone |
//! | `UNKNOWN` (its cell is down) and what later versions invent | unknown |
//!
//! Whatever the status: with `task_state` `deleting` it is busy going, and with a task of its power busy until that has ended.

use crate::{tag, timestamp};
use archipel_sdk::cloud::{Allocation, ComputeSpec, Instance, OrderRef, Status, Tagged};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Tasks that Nova shows beside the status in which they found the server.
const BUSY_TASKS: [&str; 8] = [
    "deleting",
    "pausing",
    "unpausing",
    "suspending",
    "resuming",
    "powering-off",
    "powering-on",
    "unshelving",
];

/// A server. Of one in a cell that is down Nova tells id and status only.
#[derive(Debug, Deserialize)]
pub(crate) struct Server {
    id: String,
    status: String,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    fault: Option<Fault>,
    #[serde(default)]
    addresses: BTreeMap<String, Vec<Address>>,
    #[serde(default)]
    flavor: Option<Flavor>,
    /// `""` where it boots from a volume.
    #[serde(default)]
    image: Value,
    #[serde(default, rename = "OS-EXT-STS:task_state")]
    task_state: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Address {
    addr: String,
}

/// The flavour as it was when the server was made (microversion 2.47).
#[derive(Debug, Deserialize)]
struct Flavor {
    #[serde(default)]
    vcpus: Option<u32>,
    #[serde(default)]
    ram: Option<u64>,
    #[serde(default)]
    disk: Option<u64>,
}

impl Server {
    /// Its whole tag, if it has one.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.metadata.get(tag::KEY).map(String::as_str)
    }

    /// When it was made.
    pub(crate) fn created_at(&self) -> Option<u64> {
        self.created.as_deref().and_then(timestamp::ms)
    }

    /// A deleted server that Nova keeps for a while.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.status.as_str(), "DELETED" | "SOFT_DELETED")
    }

    /// Nova's own word for its status.
    pub(crate) fn word(&self) -> &str {
        &self.status
    }

    pub(crate) fn status(&self) -> Status {
        if self.task_state.as_deref().is_some_and(|task| BUSY_TASKS.contains(&task)) {
            return Status::Busy;
        }
        match self.status.as_str() {
            "BUILD" => Status::Creating,
            "ACTIVE" | "VERIFY_RESIZE" => Status::Ready,
            "REBOOT" | "HARD_REBOOT" | "REBUILD" | "RESIZE" | "REVERT_RESIZE" | "MIGRATING" | "PASSWORD"
            | "RESCUE" => Status::Busy,
            "PAUSED" => Status::Paused,
            "SHUTOFF" => Status::Stopped,
            "SUSPENDED" | "SHELVED" | "SHELVED_OFFLOADED" => Status::Hibernated,
            "ERROR" => Status::Failed,
            _ => Status::Unknown,
        }
    }

    /// In our words. The order tells how large a boot volume is: Nova does not, so without the order that is not told.
    pub(crate) fn instance(self, order: Option<&OrderRef>) -> Instance {
        let status = self.status();
        let has_boot_volume = self.image.as_str() == Some("");
        let flavor = self.flavor;
        let own_disk = flavor.as_ref().and_then(|flavor| flavor.disk);
        let disk_gib = match order {
            None if has_boot_volume => None,
            Some(order) if has_boot_volume => {
                order.spec_as::<ComputeSpec>().ok().and_then(|ask| ask.boot_volume).or(own_disk)
            }
            _ => own_disk,
        };
        let allocation = Allocation {
            vcpu: flavor.as_ref().and_then(|flavor| flavor.vcpus),
            ram_mib: flavor.as_ref().and_then(|flavor| flavor.ram),
            disk_gib,
        };
        let mut instance = Instance::new(self.id, status, self.status);
        instance.fault = self.fault.map(|fault| fault.message).filter(|_| status == Status::Failed);
        instance.allocation = allocation;
        instance.addresses = self.addresses.into_values().flatten().map(|address| address.addr).collect();
        instance
    }

    /// As a find of its order tells it; none where it is gone or not ours.
    pub(crate) fn tagged(self, order: Option<&OrderRef>) -> Option<Tagged> {
        if self.is_gone() {
            return None;
        }
        let tag = self.tag()?.to_owned();
        let created_at = self.created_at();
        Some(Tagged { tag, created_at, instance: self.instance(order), driver_state: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status: &str, task: &str) -> Server {
        serde_json::from_value(serde_json::json!({
            "id": "s", "status": status, "OS-EXT-STS:task_state": task, "created": "2026-11-22T02:28:03Z",
            "metadata": {"archipel": "archipel:site:order"}, "fault": {"code": 500, "message": "No valid host was found."},
            "addresses": {"net": [{"addr": "10.0.0.5", "version": 4}]},
            "flavor": {"vcpus": 2, "ram": 2048, "disk": 20, "original_name": "m1.small"}, "image": {"id": "i"},
        }))
        .unwrap()
    }

    #[test]
    fn every_status_of_the_table_is_told_in_our_words() {
        use Status::{Busy, Creating, Failed, Hibernated, Paused, Ready, Stopped, Unknown};
        for (status, task, ours) in [
            ("BUILD", "spawning", Creating),
            ("ACTIVE", "", Ready),
            ("ACTIVE", "powering-off", Busy),
            ("PAUSED", "unpausing", Busy),
            ("ACTIVE", "image_snapshot", Ready),
            ("ACTIVE", "deleting", Busy),
            ("ERROR", "deleting", Busy),
            ("VERIFY_RESIZE", "", Ready),
            ("REBOOT", "rebooting", Busy),
            ("RESCUE", "", Busy),
            ("PAUSED", "", Paused),
            ("SHUTOFF", "", Stopped),
            ("SUSPENDED", "", Hibernated),
            ("SHELVED_OFFLOADED", "", Hibernated),
            ("ERROR", "", Failed),
            ("UNKNOWN", "", Unknown),
            ("SOMETHING_NEW", "", Unknown),
        ] {
            assert_eq!(server(status, task).status(), ours, "{status} {task}");
        }
        assert!(server("SOFT_DELETED", "").is_gone() && !server("ACTIVE", "").is_gone());
    }

    #[test]
    fn an_instance_has_what_was_granted_and_a_fault_only_where_it_failed() {
        let instance = server("ERROR", "").instance(None);
        assert_eq!(instance.fault.as_deref(), Some("No valid host was found."));
        let granted = instance.allocation;
        assert_eq!((granted.vcpu, granted.ram_mib, granted.disk_gib), (Some(2), Some(2048), Some(20)));
        assert_eq!(instance.addresses, ["10.0.0.5"]);
        assert_eq!(server("ACTIVE", "").instance(None).fault, None);
    }

    #[test]
    fn a_boot_volume_is_as_large_as_was_ordered() {
        let server = || {
            let mut server = server("ACTIVE", "");
            server.image = Value::from("");
            server
        };
        let order = crate::testing::order("compute", r#"{"image":"i","boot_volume":50}"#);
        assert_eq!(server().instance(Some(&order)).allocation.disk_gib, Some(50));
        assert_eq!(
            server().instance(None).allocation.disk_gib,
            None,
            "a list does not know, and must not say 20"
        );
    }

    #[test]
    fn a_server_of_a_cell_that_is_down_is_read() {
        let server: Server = serde_json::from_str(
            r#"{"id":"s","status":"UNKNOWN","created":"2026-11-22T02:28:03Z","links":[]}"#,
        )
        .unwrap();
        assert_eq!((server.status(), server.tag()), (Status::Unknown, None));
    }
}

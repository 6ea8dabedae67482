//! One instance as it is stored, and what it is at a given moment.
//!
//! Nothing runs in the background: a record holds the times at which things happen (`visible_at`, `ready_at`,
//! `gone_at`, the end of a power action), fixed when they were asked for, and `phase` compares them with the clock. So a restart changes
//! nothing and no transition can be lost.

use crate::ledger::Amounts;
use crate::power::{Action, Level, Now, Power};
use archipel_sdk::cloud::{Allocation, Instance, Status, Tagged};
use serde::{Deserialize, Serialize};

/// What stands under an instance's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "read and taken apart at once; fences are rare")]
pub(crate) enum Slot {
    /// A fence: a create that had not committed by then never will (`ledger.rs`).
    Void {
        /// When.
        at: u64,
    },
    /// An instance.
    Instance(Record),
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) tag: String,
    /// The name that the user gave.
    pub(crate) name: String,
    /// Which attempt of the order made it: shows who doubled.
    pub(crate) attempt: u32,
    pub(crate) created_at: u64,
    /// Until then get, find and list do not show it.
    pub(crate) visible_at: u64,
    pub(crate) ready_at: u64,
    /// Why it ends as failed instead of ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boot_fault: Option<String>,
    /// Set by a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone_at: Option<u64>,
    /// What the ledger counts for it.
    pub(crate) charge: Amounts,
    pub(crate) body: Body,
}

/// What is particular to its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// A virtual machine.
    Compute {
        spec: String,
        image: String,
        addresses: Vec<Address>,
        #[serde(default)]
        power: Power,
    },
    /// Block storage.
    Volume {},
    /// A network. `closing`: a delete has shut the door to new computes and looks whether any is left.
    Network { cidr: String, gateway: String, closing: bool },
    /// A volume on a compute.
    Attachment { compute: String, volume: String },
}

/// One address of a compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) network: String,
    /// Its place in the network, under which it is claimed.
    pub(crate) index: u32,
    pub(crate) ip: String,
}

/// What an instance is at a moment. `left_ms` = until it is something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made, but not shown yet.
    Hidden,
    /// On its way.
    Creating { left_ms: u64 },
    /// Usable.
    Ready,
    /// Its boot failed.
    Failed,
    /// On the way from one power state to another.
    Switching { action: Action, left_ms: u64 },
    /// There, and not running.
    Off(Level),
    /// Being deleted.
    Deleting { left_ms: u64 },
    /// Not there any more; the record is rubbish.
    Gone,
}

impl Record {
    /// What it is at `now`.
    pub(crate) fn phase(&self, now: u64) -> Phase {
        match self.gone_at {
            Some(gone_at) if now >= gone_at => Phase::Gone,
            Some(gone_at) => Phase::Deleting { left_ms: gone_at.saturating_sub(now) },
            None if now < self.visible_at => Phase::Hidden,
            None if now < self.ready_at => Phase::Creating { left_ms: self.ready_at.saturating_sub(now) },
            None if self.boot_fault.is_some() => Phase::Failed,
            None => match &self.body {
                Body::Compute { power, .. } => match power.at(now) {
                    Now::Is(Level::Active) => Phase::Ready,
                    Now::Is(level) => Phase::Off(level),
                    Now::Switching(action, left_ms) => Phase::Switching { action, left_ms },
                },
                _ => Phase::Ready,
            },
        }
    }

    /// As the contract shows it in `phase`; none where it does not show.
    pub(crate) fn show(&self, phase: Phase) -> Option<Tagged> {
        let (status, left_ms) = match phase {
            Phase::Hidden | Phase::Gone => return None,
            Phase::Creating { left_ms } => (Status::Creating, Some(left_ms)),
            Phase::Ready => (Status::Ready, None),
            Phase::Failed => (Status::Failed, None),
            Phase::Deleting { left_ms } | Phase::Switching { left_ms, .. } => (Status::Busy, Some(left_ms)),
            Phase::Off(level) => (level.status(), None),
        };
        let addresses = match (&self.body, status) {
            (Body::Compute { .. }, Status::Creating | Status::Failed) => Vec::new(),
            (Body::Compute { addresses, .. }, _) => {
                addresses.iter().map(|address| address.ip.clone()).collect()
            }
            _ => Vec::new(),
        };
        Some(Tagged {
            tag: self.tag.clone(),
            instance: Instance {
                id: self.id.clone(),
                status,
                cloud_state: self.cloud_state(phase).to_owned(),
                fault: self.boot_fault.clone().filter(|_| phase == Phase::Failed),
                allocation: self.allocation(),
                addresses,
                poll_after_ms: left_ms.map(|left| u32::try_from(left.clamp(20, 60_000)).unwrap_or(60_000)),
            },
            created_at: Some(self.created_at),
            driver_state: self.driver_state(),
        })
    }

    /// The note that comes back with every later call: only for people who look into an order.
    pub(crate) fn driver_state(&self) -> String {
        serde_json::json!({ "v": 1, "attempt": self.attempt }).to_string()
    }

    /// The cloud's own word.
    fn cloud_state(&self, phase: Phase) -> &'static str {
        match (phase, &self.body) {
            (Phase::Hidden, _) => "hidden",
            (Phase::Gone, _) => "gone",
            (Phase::Deleting { .. }, _) => "deleting",
            (Phase::Failed, _) => "error",
            (Phase::Switching { action, .. }, _) => action.word(),
            (Phase::Off(level), _) => level.word(),
            (Phase::Creating { .. }, Body::Compute { .. }) => "building",
            (Phase::Creating { .. }, Body::Attachment { .. }) => "attaching",
            (Phase::Creating { .. }, _) => "creating",
            (Phase::Ready, Body::Volume {}) => "available",
            (Phase::Ready, Body::Attachment { .. }) => "attached",
            (Phase::Ready, _) => "active",
        }
    }

    fn allocation(&self) -> Allocation {
        let some = |amount: u64| Some(amount).filter(|amount| *amount > 0);
        Allocation {
            vcpu: some(self.charge.vcpu).and_then(|vcpu| u32::try_from(vcpu).ok()),
            ram_mib: some(self.charge.ram_mib),
            disk_gib: some(self.charge.disk_gib),
        }
    }
}

#[cfg(test)]
pub(crate) fn sample(body: Body) -> Record {
    Record {
        id: "vm-x".into(),
        tag: "archipel:s:o".into(),
        name: "n".into(),
        attempt: 1,
        created_at: 1000,
        visible_at: 1100,
        ready_at: 2000,
        boot_fault: None,
        gone_at: None,
        charge: Amounts::default(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_read_off_the_clock() {
        let mut record = sample(Body::Volume {});
        assert_eq!(record.phase(1000), Phase::Hidden);
        assert_eq!(record.phase(1100), Phase::Creating { left_ms: 900 });
        assert_eq!(record.phase(2000), Phase::Ready);
        record.boot_fault = Some("no host".into());
        assert_eq!(record.phase(1999), Phase::Creating { left_ms: 1 });
        assert_eq!(record.phase(2000), Phase::Failed);
        record.gone_at = Some(3000);
        assert_eq!(record.phase(2500), Phase::Deleting { left_ms: 500 });
        assert_eq!(record.phase(3000), Phase::Gone);
    }

    #[test]
    fn deleting_shows_as_busy_and_gone_does_not_show() {
        let mut record = sample(Body::Volume {});
        record.gone_at = Some(3000);
        let shown = record.show(record.phase(2500)).unwrap();
        assert_eq!((shown.instance.status, shown.instance.cloud_state.as_str()), (Status::Busy, "deleting"));
        assert!(record.show(record.phase(3000)).is_none());
    }

    #[test]
    fn a_failed_boot_says_why_only_once_it_has_failed() {
        let mut record = sample(Body::Compute {
            spec: "s".into(),
            image: "i".into(),
            addresses: vec![],
            power: Power::default(),
        });
        record.boot_fault = Some("no host".into());
        assert_eq!(record.show(record.phase(1500)).unwrap().instance.fault, None);
        assert_eq!(record.show(record.phase(2500)).unwrap().instance.fault.as_deref(), Some("no host"));
    }
}

//! What can be asked for, per kind: `order.spec_as::<ComputeSpec>()`.
//!
//! The shapes are those of the REST API. Fields that are not known here are passed over, so that a plugin goes on
//! working when the API learns new ones.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A network for a compute: an order, or one that the cloud has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkRef {
    /// An order id; [`super::OrderRef::instance_of`] tells what the cloud calls it.
    Order(String),
    /// What the cloud calls it.
    CloudId(String),
}

/// A virtual machine. Amounts are minimums: the smallest size that fits is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ComputeSpec {
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Image id, or `@alias`.
    pub image: String,
    /// A size by id, instead of amounts.
    #[serde(default)]
    pub spec: Option<String>,
    /// Virtual CPUs.
    #[serde(default)]
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    #[serde(default)]
    pub ram_mib: Option<u64>,
    /// Root disk in GiB.
    #[serde(default)]
    pub disk_gib: Option<u64>,
    /// Networks, in order.
    #[serde(default)]
    pub networks: Vec<NetworkRef>,
    /// Security groups of the cloud.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Availability zone of the cloud.
    #[serde(default)]
    pub availability_zone: Option<String>,
    /// Boot from a new volume of this size (GiB) instead of a local disk.
    #[serde(default)]
    pub boot_volume: Option<u64>,
    /// An SSH public key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Cloud-init user data.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Tags that the size must have.
    #[serde(default)]
    pub requirements: BTreeMap<String, String>,
}

/// What a volume starts from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// An image id or `@alias`.
    Image(String),
    /// A snapshot of the cloud.
    Snapshot(String),
}

/// Block storage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct VolumeSpec {
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Size in GiB.
    pub size_gib: u64,
    /// What it starts from.
    #[serde(default)]
    pub source: Option<VolumeSource>,
    /// Tags that the volume type must have.
    #[serde(default)]
    pub requirements: BTreeMap<String, String>,
}

/// How a network gives addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressAllocation {
    /// By DHCP.
    #[default]
    Dynamic,
    /// Fixed.
    Static,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NetworkSpec {
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Address range, e.g. `10.0.0.0/24`.
    pub cidr: String,
    /// Inside the range; none = the cloud's choice.
    #[serde(default)]
    pub gateway: Option<String>,
    /// How addresses are given.
    #[serde(default)]
    pub allocation: AddressAllocation,
    /// Bytes.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// A volume on a compute; both are order ids, and [`super::OrderRef::instance_of`] tells their instances.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct AttachmentSpec {
    /// The compute's order.
    pub compute: String,
    /// The volume's order.
    pub volume: String,
    /// A hint that some clouds pass over.
    #[serde(default)]
    pub device: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::OrderRef;

    fn order(kind: &str, spec: &str) -> OrderRef {
        OrderRef {
            id: "o".into(),
            tag: "archipel:s:o".into(),
            kind: kind.into(),
            spec: spec.into(),
            dependencies: vec![],
        }
    }

    #[test]
    fn a_compute_spec_is_read_and_unknown_fields_are_passed_over() {
        let order = order("compute", r#"{"image":"@debian","networks":[{"order":"n"}],"new_in_v2":1}"#);
        let spec: ComputeSpec = order.spec_as().unwrap();
        assert_eq!(spec.networks, vec![NetworkRef::Order("n".into())]);
    }

    #[test]
    fn a_wrong_spec_names_the_path() {
        let error = order("volume", r#"{"size_gib":"ten"}"#).spec_as::<VolumeSpec>().unwrap_err();
        assert!(error.message().starts_with("volume spec: size_gib: "), "{error}");
    }
}

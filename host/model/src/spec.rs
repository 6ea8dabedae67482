//! What can be asked for, per kind: the body of a create, parsed at the edge. Unknown fields are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::order::{Kind, OnQuota};
use crate::{Error, Timestamp};

/// A network for a compute: an order of ours, or one that the cloud has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NetworkRef {
    /// An order id, or `$N` in a bulk request.
    Order(String),
    /// What the cloud calls it.
    CloudId(String),
}

/// A virtual machine. Amounts are minimums: the smallest spec that fits is taken.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeSpec {
    /// Image id, or `@alias`.
    pub image: String,
    /// A spec by id, instead of amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Virtual CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_mib: Option<u64>,
    /// Root disk in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    /// Networks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkRef>,
    /// Security groups of the cloud.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// Availability zone of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Boot from a new volume of this size (GiB) instead of a local disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_volume: Option<u64>,
    /// An SSH public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Cloud-init user data, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// Tags that the spec must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requirements: BTreeMap<String, String>,
}

/// Block storage.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Size in GiB, 1 to 1,048,576.
    pub size_gib: u64,
    /// What it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
    /// Tags that the volume type must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requirements: BTreeMap<String, String>,
}

/// What a volume starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VolumeSource {
    /// An image id or `@alias`.
    Image(String),
    /// A snapshot of the cloud.
    Snapshot(String),
}

/// How addresses are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressAllocation {
    /// By DHCP.
    #[default]
    Dynamic,
    /// Fixed.
    Static,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Address range, e.g. `10.0.0.0/24`.
    pub cidr: String,
    /// Inside the range; none = the cloud's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// How addresses are given.
    #[serde(default)]
    pub allocation: AddressAllocation,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// A volume on a compute.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentSpec {
    /// Order id, or `$N` in a bulk request.
    pub compute: String,
    /// Order id, or `$N` in a bulk request.
    pub volume: String,
    /// A hint that some clouds ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A spec of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spec {
    /// A virtual machine.
    Compute(ComputeSpec),
    /// Block storage.
    Volume(VolumeSpec),
    /// A network.
    Network(NetworkSpec),
    /// A volume on a compute.
    Attachment(AttachmentSpec),
}

impl Spec {
    /// What kind it asks for.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Compute(_) => Kind::Compute,
            Self::Volume(_) => Kind::Volume,
            Self::Network(_) => Kind::Network,
            Self::Attachment(_) => Kind::Attachment,
        }
    }

    /// As JSON, in the shape of the REST API.
    ///
    /// # Errors
    /// `internal`, should serialisation fail.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        match self {
            Self::Compute(spec) => serde_json::to_value(spec),
            Self::Volume(spec) => serde_json::to_value(spec),
            Self::Network(spec) => serde_json::to_value(spec),
            Self::Attachment(spec) => serde_json::to_value(spec),
        }
        .map_err(|error| Error::internal(format!("a spec could not be written: {error}")))
    }

    /// Reads the spec of `kind` from JSON.
    ///
    /// # Errors
    /// `invalid`, naming the field.
    pub fn from_json(kind: Kind, value: &serde_json::Value) -> Result<Self, Error> {
        let bad = |error: serde_json::Error| Error::invalid(format!("spec of a {kind}: {error}"));
        Ok(match kind {
            Kind::Compute => Self::Compute(ComputeSpec::deserialize(value).map_err(bad)?),
            Kind::Volume => Self::Volume(VolumeSpec::deserialize(value).map_err(bad)?),
            Kind::Network => Self::Network(NetworkSpec::deserialize(value).map_err(bad)?),
            Kind::Attachment => Self::Attachment(AttachmentSpec::deserialize(value).map_err(bad)?),
        })
    }
}

/// A lease as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LeaseRequest {
    /// Until then.
    ExpiresAt(Timestamp),
    /// For so many seconds from now, at most 10 years.
    DurationS(u32),
}

/// The body of one create: the spec and what all kinds share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOrder {
    /// What is asked for.
    pub spec: Spec,
    /// For people; at most 255 bytes.
    pub name: String,
    /// The cloud; may be left out where the site has one.
    pub cloud: Option<String>,
    /// The site; must be this one until it is a member of a federation.
    pub site: Option<String>,
    /// The group it acts for.
    pub group: Option<String>,
    /// Of the user.
    pub labels: BTreeMap<String, String>,
    /// Is deleted after.
    pub lease: Option<LeaseRequest>,
    /// Must be fulfilled by then.
    pub deadline: Option<Timestamp>,
    /// What a quota refusal does.
    pub on_quota: OnQuota,
}

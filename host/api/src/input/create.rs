//! Bodies of creates: per kind its own fields and those that all kinds share. Unknown fields are refused and named.

use std::collections::BTreeMap;

use archipel_model::Timestamp;
use archipel_model::order::{Kind, OnQuota};
use archipel_model::spec::{
    AddressAllocation, AttachmentSpec, ComputeSpec, CreateOrder, LeaseRequest, NetworkRef, NetworkSpec, Spec,
    VolumeSource, VolumeSpec,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::openapi::schemas;

/// The body of a create.
pub(crate) trait Create: DeserializeOwned + ToSchema + Send {
    /// Its kind.
    const KIND: Kind;

    /// As the engine takes it.
    fn into_order(self) -> CreateOrder;
}

macro_rules! create {
    (
        $(#[$meta:meta])*
        $name:ident of $kind:expr;
        { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
        |$this:ident| $spec:expr
    ) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_meta])* $field: $type,)*
            /// For people.
            #[serde(default)]
            #[schema(schema_with = schemas::name_or_null)]
            name: Option<String>,
            /// May be left out where the site has one.
            #[serde(default)]
            #[schema(schema_with = schemas::cloud_or_null)]
            cloud: Option<String>,
            /// This site, until others are members.
            #[serde(default)]
            #[schema(max_length = 253)]
            site: Option<String>,
            /// One of the caller's groups; the only one where there is only one.
            #[serde(default)]
            #[schema(schema_with = schemas::text_or_null)]
            group: Option<String>,
            #[serde(default)]
            #[schema(schema_with = schemas::labels_or_null)]
            labels: Option<BTreeMap<String, String>>,
            #[serde(default)]
            #[schema(schema_with = schemas::lease_or_null)]
            lease: Option<LeaseRequest>,
            /// Must be fulfilled by then; in the future.
            #[serde(default)]
            #[schema(value_type = Option<String>, format = DateTime)]
            deadline: Option<Timestamp>,
            #[serde(default)]
            #[schema(schema_with = schemas::on_quota_or_null)]
            on_quota: Option<OnQuota>,
        }

        impl Create for $name {
            const KIND: Kind = $kind;

            fn into_order(self) -> CreateOrder {
                let $this = self;
                CreateOrder {
                    name: $this.name.unwrap_or_default(),
                    cloud: $this.cloud,
                    site: $this.site,
                    group: $this.group,
                    labels: $this.labels.unwrap_or_default(),
                    lease: $this.lease,
                    deadline: $this.deadline,
                    on_quota: $this.on_quota.unwrap_or_default(),
                    spec: $spec,
                }
            }
        }
    };
}

create! {
    /// A virtual machine. Amounts are minimums: the smallest spec that fits is taken.
    ComputeCreate of Kind::Compute;
    {
        /// Image id, or `@alias`.
        #[schema(schema_with = schemas::text_of_255)]
        image: String,
        /// A spec by id, instead of `vcpu` and `ram_mib`.
        #[serde(default)]
        #[schema(schema_with = schemas::text_or_null)]
        spec: Option<String>,
        #[serde(default)]
        #[schema(minimum = 1, maximum = 4096)]
        vcpu: Option<u32>,
        #[serde(default)]
        #[schema(minimum = 1, maximum = 67108864)]
        ram_mib: Option<u64>,
        #[serde(default)]
        #[schema(minimum = 1, maximum = 1048576)]
        disk_gib: Option<u64>,
        /// In order: orders of networks, or networks that the cloud has.
        #[serde(default)]
        #[schema(schema_with = schemas::network_refs_or_null)]
        networks: Option<Vec<NetworkRef>>,
        /// Of the cloud.
        #[serde(default)]
        #[schema(schema_with = schemas::names_or_null)]
        security_groups: Option<Vec<String>>,
        /// Of the cloud.
        #[serde(default)]
        #[schema(schema_with = schemas::text_or_null)]
        availability_zone: Option<String>,
        /// Boot from a new volume of this size (GiB) instead of a local disk.
        #[serde(default)]
        #[schema(minimum = 1, maximum = 1048576)]
        boot_volume: Option<u64>,
        /// An SSH public key.
        #[serde(default)]
        #[schema(max_length = 16384)]
        public_key: Option<String>,
        /// Cloud-init user data.
        #[serde(default)]
        #[schema(max_length = 65536)]
        user_data: Option<String>,
        /// Tags that the spec must have.
        #[serde(default)]
        #[schema(schema_with = schemas::tags_or_null)]
        requirements: Option<BTreeMap<String, String>>,
    }
    |this| Spec::Compute(ComputeSpec {
        image: this.image,
        spec: this.spec,
        vcpu: this.vcpu,
        ram_mib: this.ram_mib,
        disk_gib: this.disk_gib,
        networks: this.networks.unwrap_or_default(),
        security_groups: this.security_groups.unwrap_or_default(),
        availability_zone: this.availability_zone,
        boot_volume: this.boot_volume,
        public_key: this.public_key,
        user_data: this.user_data,
        requirements: this.requirements.unwrap_or_default(),
    })
}

create! {
    /// Block storage.
    VolumeCreate of Kind::Volume;
    {
        #[schema(minimum = 1, maximum = 1048576)]
        size_gib: u64,
        /// What it starts from.
        #[serde(default)]
        #[schema(schema_with = schemas::volume_source_or_null)]
        source: Option<VolumeSource>,
        /// Tags that the volume type must have.
        #[serde(default)]
        #[schema(schema_with = schemas::tags_or_null)]
        requirements: Option<BTreeMap<String, String>>,
    }
    |this| Spec::Volume(VolumeSpec {
        size_gib: this.size_gib,
        source: this.source,
        requirements: this.requirements.unwrap_or_default(),
    })
}

create! {
    /// A network.
    NetworkCreate of Kind::Network;
    {
        /// Address range, e.g. `10.0.0.0/24`.
        #[schema(schema_with = schemas::cidr)]
        cidr: String,
        /// Inside the range; none = the cloud's choice.
        #[serde(default)]
        #[schema(schema_with = schemas::address_or_null)]
        gateway: Option<String>,
        /// How addresses are given; `dynamic` if left out.
        #[serde(default)]
        #[schema(schema_with = schemas::allocation_or_null)]
        allocation: Option<AddressAllocation>,
        /// Bytes.
        #[serde(default)]
        #[schema(minimum = 68, maximum = 65535)]
        mtu: Option<u32>,
    }
    |this| Spec::Network(NetworkSpec {
        cidr: this.cidr,
        gateway: this.gateway,
        allocation: this.allocation.unwrap_or_default(),
        mtu: this.mtu,
    })
}

create! {
    /// A volume on a compute.
    AttachmentCreate of Kind::Attachment;
    {
        /// The id of a compute's order; `$N` in a bulk request.
        #[schema(schema_with = schemas::order_ref)]
        compute: String,
        /// The id of a volume's order; `$N` in a bulk request.
        #[schema(schema_with = schemas::order_ref)]
        volume: String,
        /// A hint that some clouds ignore.
        #[serde(default)]
        #[schema(schema_with = schemas::text_or_null)]
        device: Option<String>,
    }
    |this| Spec::Attachment(AttachmentSpec { compute: this.compute, volume: this.volume, device: this.device })
}

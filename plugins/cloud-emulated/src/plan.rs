//! From an order's spec to what is to be made: everything that can be refused without writing anything.

use crate::catalogue::{choose, require_image};
use crate::cidr::Cidr;
use crate::cloud::Cloud;
use crate::instances::{phase, record};
use crate::ledger::Amounts;
use crate::naming::{Kind, is_ours};
use crate::power::Power;
use crate::record::{Body, Phase, Record};
use crate::world::World;
use archipel_sdk::cloud::{
    AttachmentSpec, ComputeSpec, NetworkRef, NetworkSpec, OrderRef, VolumeSource, VolumeSpec,
};
use archipel_sdk::{Error, Result};
use std::net::Ipv4Addr;

/// The largest volume, in GiB.
const MOST_VOLUME_GIB: u64 = 65_536;

/// What is to be made.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) charge: Amounts,
    pub(crate) body: Body,
    /// Networks in which a compute needs an address.
    pub(crate) networks: Vec<Subnet>,
}

/// A network that gives addresses.
#[derive(Debug)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) cidr: Cidr,
    pub(crate) gateway: Ipv4Addr,
    /// Made by an order of this account, so it can go away.
    pub(crate) is_ours: bool,
}

impl<W: World> Cloud<'_, W> {
    /// What this order asks for, or why it cannot be had.
    pub(crate) fn plan(&self, kind: Kind, order: &OrderRef) -> Result<Plan> {
        match kind {
            Kind::Compute => self.plan_compute(order),
            Kind::Volume => self.plan_volume(order),
            Kind::Network => plan_network(order),
            Kind::Attachment => self.plan_attachment(order),
        }
    }

    fn plan_compute(&self, order: &OrderRef) -> Result<Plan> {
        let ask: ComputeSpec = order.spec_as()?;
        let image = require_image(&self.config.images, &ask.image)?;
        let size = choose(&self.config.specs, &ask, image)?;
        if let Some(group) = ask.security_groups.iter().find(|group| *group != "default") {
            return Err(Error::invalid(format!("no security group `{group}`; this cloud has default only")));
        }
        if let Some(zone) = ask.availability_zone.as_ref().filter(|zone| !self.config.zones.contains(zone)) {
            let zones = self.config.zones.join(", ");
            return Err(Error::invalid(format!("no availability zone `{zone}`; this cloud has {zones}")));
        }
        let disk_gib = ask.boot_volume.unwrap_or(size.disk_gib);
        if disk_gib < image.min_disk_gib {
            let least = image.min_disk_gib;
            return Err(Error::invalid(format!(
                "a boot volume of {disk_gib} GiB; `{}` needs {least}",
                image.id
            )));
        }
        Ok(Plan {
            name: ask.name.clone().unwrap_or_default(),
            charge: Amounts {
                instances: 1,
                vcpu: u64::from(size.vcpu),
                ram_mib: size.ram_mib,
                disk_gib,
                ..Amounts::default()
            },
            body: Body::Compute {
                spec: size.id.clone(),
                image: image.id.clone(),
                addresses: Vec::new(),
                power: Power::default(),
            },
            networks: self.subnets(order, &ask.networks)?,
        })
    }

    /// The networks that a compute names; the cloud's first one where it names none.
    fn subnets(&self, order: &OrderRef, asked: &[NetworkRef]) -> Result<Vec<Subnet>> {
        let mut subnets: Vec<Subnet> = Vec::new();
        for network in asked {
            let subnet = match network {
                NetworkRef::Order(id) => self.own_subnet(order.instance_of(id)?)?,
                NetworkRef::CloudId(id) => match self.shared_subnet(id) {
                    Some(subnet) => subnet?,
                    None => self.own_subnet(id)?,
                },
            };
            if subnets.iter().any(|other| other.id == subnet.id) {
                return Err(Error::invalid(format!("network `{}` is named twice", subnet.id)));
            }
            subnets.push(subnet);
        }
        if let (true, Some(first)) = (asked.is_empty(), self.config.networks.first()) {
            subnets.extend(self.shared_subnet(&first.id).transpose()?);
        }
        Ok(subnets)
    }

    fn shared_subnet(&self, id: &str) -> Option<Result<Subnet>> {
        let network = self.config.networks.iter().find(|network| network.id == id)?;
        Some(Cidr::parse(&network.cidr).map(|cidr| Subnet {
            id: network.id.clone(),
            cidr,
            gateway: cidr.first(),
            is_ours: false,
        }))
    }

    /// A network of this account, if machines can join it now.
    pub(crate) fn own_subnet(&self, id: &str) -> Result<Subnet> {
        let unknown =
            || Error::invalid(format!("no network `{id}`; list the cloud's networks for those there are"));
        let record = self.seen(Kind::Network, id)?.ok_or_else(unknown)?;
        let Body::Network { cidr, gateway, closing } = &record.body else { return Err(unknown()) };
        if *closing || record.phase(self.world.now_ms()) != Phase::Ready {
            return Err(Error::conflict(format!("network `{id}` is not ready, or is being deleted")));
        }
        let cidr = Cidr::parse(cidr)?;
        Ok(Subnet { id: record.id, cidr, gateway: cidr.gateway(gateway)?, is_ours: true })
    }

    fn plan_volume(&self, order: &OrderRef) -> Result<Plan> {
        let ask: VolumeSpec = order.spec_as()?;
        if !(1..=MOST_VOLUME_GIB).contains(&ask.size_gib) {
            return Err(Error::invalid(format!("size_gib {}: choose 1 to {MOST_VOLUME_GIB}", ask.size_gib)));
        }
        if let Some((key, value)) = ask.requirements.first_key_value() {
            return Err(Error::invalid(format!("no volume type of this cloud has {key}={value}")));
        }
        match &ask.source {
            None => {}
            Some(VolumeSource::Snapshot(_)) => return Err(Error::unsupported("this cloud has no snapshots")),
            Some(VolumeSource::Image(id)) => {
                let image = require_image(&self.config.images, id)?;
                if ask.size_gib < image.min_disk_gib {
                    let words =
                        format!("size_gib {}: image `{id}` needs {}", ask.size_gib, image.min_disk_gib);
                    return Err(Error::invalid(words));
                }
            }
        }
        Ok(Plan {
            name: ask.name.unwrap_or_default(),
            charge: Amounts { volumes: 1, disk_gib: ask.size_gib, ..Amounts::default() },
            body: Body::Volume {},
            networks: Vec::new(),
        })
    }

    fn plan_attachment(&self, order: &OrderRef) -> Result<Plan> {
        let ask: AttachmentSpec = order.spec_as()?;
        if let Some(device) = ask.device.as_ref().filter(|device| !device.starts_with("/dev/")) {
            return Err(Error::invalid(format!("device `{device}`: write it like /dev/vdb")));
        }
        let compute = order.instance_of(&ask.compute)?.to_owned();
        let volume = order.instance_of(&ask.volume)?.to_owned();
        self.ready(Kind::Compute, &compute)?;
        self.ready(Kind::Volume, &volume)?;
        Ok(Plan {
            name: String::new(),
            charge: Amounts::default(),
            body: Body::Attachment { compute, volume },
            networks: Vec::new(),
        })
    }

    /// Refuses unless the instance is there and usable.
    pub(crate) fn ready(&self, kind: Kind, id: &str) -> Result<()> {
        let word = kind.word();
        let record = self.seen(kind, id)?.ok_or_else(|| Error::not_found(format!("no {word} `{id}`")))?;
        match record.phase(self.world.now_ms()) {
            // A volume is attached to a machine that does not run, too.
            Phase::Ready | Phase::Off(_) => Ok(()),
            Phase::Switching { action, .. } => {
                Err(Error::transient(format!("{word} `{id}` is {}; try again", action.word())))
            }
            Phase::Deleting { .. } => Err(Error::conflict(format!("{word} `{id}` is being deleted"))),
            Phase::Failed => Err(Error::conflict(format!("{word} `{id}` has failed"))),
            _ => Err(Error::conflict(format!("{word} `{id}` is still being created"))),
        }
    }

    /// The instance as users see it: not before it shows, not after it has gone.
    fn seen(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        if !is_ours(kind, id) {
            return Ok(None);
        }
        let key = self.account.instance(id);
        let Some(record) = record(self.world, &key)? else { return Ok(None) };
        let phase = phase(self.world, &key, &record)?;
        Ok(Some(record).filter(|_| !matches!(phase, Phase::Hidden | Phase::Gone)))
    }
}

fn plan_network(order: &OrderRef) -> Result<Plan> {
    let ask: NetworkSpec = order.spec_as()?;
    let cidr = Cidr::parse(&ask.cidr)?;
    let gateway = ask.gateway.as_deref().map_or_else(|| Ok(cidr.first()), |text| cidr.gateway(text))?;
    if let Some(mtu) = ask.mtu.filter(|mtu| !(576..=9216).contains(mtu)) {
        return Err(Error::invalid(format!("mtu {mtu}: choose 576 to 9216")));
    }
    Ok(Plan {
        name: ask.name.unwrap_or_default(),
        charge: Amounts { networks: 1, ..Amounts::default() },
        body: Body::Network { cidr: cidr.to_string(), gateway: gateway.to_string(), closing: false },
        networks: Vec::new(),
    })
}

//! Orders, instances, and what a cloud offers.

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_bindings::latest::archipel::cloud::types as wit;
use archipel_bindings::latest::exports::archipel::cloud::{image, network, quota, spec};
use archipel_model::Error;
use archipel_model::order::{Allocation, Status};
use archipel_model::plugin::{
    CloudNetwork, CreateContext, Created, Dependency, ImageEntry, InstanceView, Observed, OrderRef,
    QuotaEntry, SpecEntry, Tagged, TaggedPage,
};

use super::{SHORT, bounded, exact, instant, list, message};

/// Bytes of a driver's note about one instance.
const DRIVER_STATE: usize = 16 << 10;
/// Addresses of one instance.
const ADDRESSES: usize = 256;
/// Tags of one spec or image.
const ATTRIBUTES: usize = 256;

/// An order, for a driver.
pub(crate) fn order_to_wit(order: &OrderRef) -> wit::OrderRef {
    wit::OrderRef {
        id: order.id.to_string(),
        tag: order.tag.clone(),
        kind: order.kind.to_string(),
        spec: order.spec.to_string(),
        dependencies: order.dependencies.iter().map(dependency_to_wit).collect(),
    }
}

fn dependency_to_wit(dependency: &Dependency) -> wit::Dependency {
    wit::Dependency {
        order: dependency.order.to_string(),
        kind: dependency.kind.to_string(),
        instance_id: dependency.instance_id.clone(),
        cloud: dependency.cloud.clone(),
        site: dependency.site.to_string(),
    }
}

/// What a create is told.
pub(crate) fn create_to_wit(context: &CreateContext, deadline: Duration) -> wit::CreateContext {
    wit::CreateContext {
        order: order_to_wit(&context.order),
        attempt: context.attempt,
        idempotency_key: context.idempotency_key.clone(),
        deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What a create made.
pub(crate) fn created(created: wit::Created) -> Result<Created, Error> {
    Ok(Created {
        id: instance_id(created.id)?,
        driver_state: bounded("driver-state", created.driver_state, DRIVER_STATE)?,
    })
}

fn instance_id(id: String) -> Result<String, Error> {
    if id.is_empty() {
        return Err(super::unusable("an instance's id is empty"));
    }
    exact("an instance's id", id, SHORT)
}

fn status(status: wit::Status) -> Status {
    match status {
        wit::Status::Creating => Status::Creating,
        wit::Status::Ready => Status::Ready,
        wit::Status::Busy => Status::Busy,
        wit::Status::Paused => Status::Paused,
        wit::Status::Stopped => Status::Stopped,
        wit::Status::Hibernated => Status::Hibernated,
        wit::Status::Failed => Status::Failed,
        wit::Status::Unknown => Status::Unknown,
    }
}

fn instance(instance: wit::Instance) -> Result<InstanceView, Error> {
    Ok(InstanceView {
        id: instance_id(instance.id)?,
        status: status(instance.status),
        cloud_state: message(&instance.cloud_state, SHORT),
        fault: instance.fault.map(|fault| message(&fault, 2 * SHORT)),
        allocation: Allocation {
            vcpu: instance.allocation.vcpu,
            ram_mib: instance.allocation.ram_mib,
            disk_gib: instance.allocation.disk_gib,
        },
        addresses: list("addresses", instance.addresses, ADDRESSES, |address| {
            exact("an address", address, SHORT)
        })?,
        poll_after: instance.poll_after_ms.map(|ms| Duration::from_millis(u64::from(ms))),
    })
}

/// What a look at one instance finds.
pub(crate) fn observed(observed: wit::Observed) -> Result<Observed, Error> {
    match observed {
        wit::Observed::Present(view) => instance(view).map(Observed::Present),
        wit::Observed::Gone => Ok(Observed::Gone),
    }
}

fn tag(tagged: wit::Tagged) -> Result<Tagged, Error> {
    Ok(Tagged {
        tag: exact("a tag", tagged.tag, SHORT)?,
        instance: instance(tagged.instance)?,
        created_at: tagged.created_at.map(instant),
        driver_state: bounded("driver-state", tagged.driver_state, DRIVER_STATE)?,
    })
}

/// Instances with tags.
pub(crate) fn tagged(items: Vec<wit::Tagged>, most: usize) -> Result<Vec<Tagged>, Error> {
    list("instances", items, most, tag)
}

/// A page of instances with tags.
pub(crate) fn page(page: wit::Page, most: usize) -> Result<TaggedPage, Error> {
    Ok(TaggedPage {
        items: tagged(page.items, most)?,
        next: page.next.map(|next| exact("next", next, 4 * SHORT)).transpose()?,
    })
}

/// Networks that a cloud has.
pub(crate) fn networks(items: Vec<network::CloudNetwork>, most: usize) -> Result<Vec<CloudNetwork>, Error> {
    list("networks", items, most, |item| {
        Ok(CloudNetwork {
            id: exact("a network's id", item.id, SHORT)?,
            name: message(&item.name, SHORT),
            cidr: item.cidr.map(|cidr| exact("cidr", cidr, SHORT)).transpose()?,
            shared: item.shared,
        })
    })
}

/// A quota.
pub(crate) fn quota(items: Vec<quota::Entry>, most: usize) -> Result<Vec<QuotaEntry>, Error> {
    list("quota", items, most, |item| {
        Ok(QuotaEntry {
            name: exact("a quota's name", item.name, SHORT)?,
            total: item.total,
            used: item.used,
        })
    })
}

fn attributes(items: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
    let pairs = list("attributes", items, ATTRIBUTES, |(name, value)| {
        Ok((exact("an attribute's name", name, SHORT)?, exact("an attribute", value, SHORT)?))
    })?;
    Ok(pairs.into_iter().collect())
}

/// A size of machine.
pub(crate) fn spec(item: spec::Entry) -> Result<SpecEntry, Error> {
    Ok(SpecEntry {
        id: exact("a spec's id", item.id, SHORT)?,
        name: message(&item.name, SHORT),
        vcpu: item.vcpu,
        ram_mib: item.ram_mib,
        disk_gib: item.disk_gib,
        attributes: attributes(item.attributes)?,
    })
}

/// Sizes of machines.
pub(crate) fn specs(items: Vec<spec::Entry>, most: usize) -> Result<Vec<SpecEntry>, Error> {
    list("specs", items, most, spec)
}

/// An image.
pub(crate) fn image(item: image::Entry) -> Result<ImageEntry, Error> {
    Ok(ImageEntry {
        id: exact("an image's id", item.id, SHORT)?,
        name: message(&item.name, SHORT),
        size_bytes: item.size_bytes,
        min_disk_gib: item.min_disk_gib,
        min_ram_mib: item.min_ram_mib,
        status: message(&item.status, SHORT),
        attributes: attributes(item.attributes)?,
    })
}

/// Images.
pub(crate) fn images(items: Vec<image::Entry>, most: usize) -> Result<Vec<ImageEntry>, Error> {
    list("images", items, most, image)
}

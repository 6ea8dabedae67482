//! Block storage: Cinder's volumes. One call makes one.
//!
//! | Cinder's `status` | ours |
//! |---|---|
//! | `creating`, `downloading`, `managing` | creating |
//! | `available`, `in-use` | ready |
//! | `reserved`, `attaching`, `detaching`, `deleting`, `extending`, `retyping`, `uploading`, `backing-up`, `restoring-backup`, `awaiting-transfer`, `maintenance`, `unmanaging` | busy |
//! | `error`, `error_deleting`, `error_managing`, `error_extending`, `error_restoring`, `error_backing-up` | failed |
//! | what later versions invent | unknown |

use crate::cache::{self, Cache, Cached};
use crate::cloud::{Cloud, segment};
use crate::wire::Service;
use crate::{flavors, images, pace, tag, timestamp};
use archipel_sdk::cloud::{
    Allocation, CreateContext, Created, Instance, Known, Observed, OrderRef, Page, Status, Tagged,
    VolumeSource, VolumeSpec,
};
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Answer<T> {
    volume: T,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// A volume.
#[derive(Debug, Deserialize)]
pub(crate) struct Volume {
    id: String,
    status: String,
    size: u64,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    attachments: Vec<AttachedTo>,
}

#[derive(Debug, Deserialize)]
struct AttachedTo {
    #[serde(default)]
    server_id: String,
}

/// A volume type.
#[derive(Debug, Serialize, Deserialize)]
struct VolumeType {
    id: String,
    name: String,
    #[serde(default)]
    extra_specs: BTreeMap<String, String>,
}

thread_local! {
    static TYPES: Cache<Vec<VolumeType>> = const { RefCell::new(Vec::new()) };
}

/// One POST.
pub(crate) fn request(cloud: &Cloud<'_>, context: &CreateContext) -> Result<Created> {
    let order = &context.order;
    let ask: VolumeSpec = order.spec_as()?;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("name", tag::name(ask.name.as_deref(), order).into());
    put("size", ask.size_gib.into());
    put("metadata", json!({ tag::KEY: tag::whole(order)? }));
    match &ask.source {
        Some(VolumeSource::Image(image)) => put("imageRef", images::choose(cloud, image)?.id.into()),
        Some(VolumeSource::Snapshot(snapshot)) => put("snapshot_id", snapshot.as_str().into()),
        None => None,
    };
    if !ask.requirements.is_empty() {
        put("volume_type", type_with(cloud, &ask.requirements)?.into());
    }
    let answer: Answer<Made> = cloud.post(Service::Volume, "/volumes", &json!({ "volume": body }))?;
    Ok(Created::new(answer.volume.id))
}

/// The first type, by name, whose extra specs hold all that is required.
fn type_with(cloud: &Cloud<'_>, required: &BTreeMap<String, String>) -> Result<String> {
    let find = |list: &Cached<Vec<VolumeType>>| {
        let mut fit: Vec<&VolumeType> =
            list.value.iter().filter(|kind| flavors::has(&kind.extra_specs, required)).collect();
        fit.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        fit.first().map(|kind| kind.id.clone())
    };
    let list = types(cloud, cloud.cache_ms())?;
    let mut found = find(&list);
    if found.is_none() && !list.is_fresh {
        found = find(&types(cloud, 0)?);
    }
    found.ok_or_else(|| {
        let asked: Vec<String> = required.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Error::invalid(format!("no volume type of this cloud has {}", asked.join(", ")))
    })
}

fn types(cloud: &Cloud<'_>, ttl_ms: u64) -> Result<Cached<Vec<VolumeType>>> {
    let key = cloud.cache_key("types", Service::Volume)?;
    cache::get(&TYPES, cloud.world, key, ttl_ms, || cloud.all(Service::Volume, "/types", "volume_types", &[]))
}

/// Looks at one.
pub(crate) fn get(cloud: &Cloud<'_>, known: Known<'_>) -> Result<Observed> {
    let Some(volume) = look(cloud, known.id)? else { return Ok(Observed::Gone) };
    let created_at = timestamp::ms(&volume.created_at);
    let mut instance = volume.instance();
    instance.poll_after_ms = pace::hint(&instance, created_at, cloud.world.now_ms());
    Ok(Observed::Present(instance))
}

/// The volume of this id.
pub(crate) fn look(cloud: &Cloud<'_>, id: &str) -> Result<Option<Volume>> {
    let found: Option<Answer<Volume>> =
        cloud.look(Service::Volume, &format!("/volumes/{}", segment(id)?), id)?;
    Ok(found.map(|answer| answer.volume))
}

/// Deletes one.
pub(crate) fn delete(cloud: &Cloud<'_>, known: Known<'_>) -> Result<()> {
    cloud.delete(Service::Volume, &format!("/volumes/{}", segment(known.id)?), &[known.id])
}

/// Those of an order.
pub(crate) fn find(cloud: &Cloud<'_>, order: &OrderRef) -> Result<Vec<Tagged>> {
    let whole = tag::whole(order)?;
    let wanted = json!({ tag::KEY: whole }).to_string();
    let volumes: Vec<Volume> =
        cloud.all(Service::Volume, "/volumes/detail", "volumes", &[("metadata", &wanted)])?;
    let mut found: Vec<Tagged> =
        volumes.into_iter().filter_map(Volume::tagged).filter(|tagged| tagged.tag == whole).collect();
    found.sort_by(|a, b| (a.created_at, &a.instance.id).cmp(&(b.created_at, &b.instance.id)));
    Ok(found)
}

/// A page of all of ours. Cinder cannot list by the key of metadata alone, so the project's others are left out here.
pub(crate) fn list(cloud: &Cloud<'_>, cursor: Option<&str>) -> Result<Page> {
    let page: crate::pages::Slice<Volume> =
        cloud.page(Service::Volume, "/volumes/detail", "volumes", &[], cursor)?;
    let ours = |tagged: &Tagged| tag::is_ours(&tagged.tag, cloud.config);
    Ok(Page {
        items: page.items.into_iter().filter_map(Volume::tagged).filter(ours).collect(),
        next: page.next,
    })
}

impl Volume {
    /// Cinder's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What is written on it.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whether Cinder has attached it to this server.
    pub(crate) fn is_attached_to(&self, server: &str) -> bool {
        self.attachments.iter().any(|attached| attached.server_id == server)
    }

    /// Whether it can be used there.
    pub(crate) fn is_in_use_by(&self, server: &str) -> bool {
        self.status == "in-use" && self.is_attached_to(server)
    }

    /// Cinder's own word.
    pub(crate) fn cloud_state(&self) -> &str {
        &self.status
    }

    /// Whether it is broken.
    pub(crate) fn has_failed(&self) -> bool {
        self.status() == Status::Failed
    }

    fn status(&self) -> Status {
        match self.status.as_str() {
            "creating" | "downloading" | "managing" => Status::Creating,
            "available" | "in-use" => Status::Ready,
            "reserved" | "attaching" | "detaching" | "deleting" | "extending" | "retyping" | "uploading"
            | "backing-up" | "restoring-backup" | "awaiting-transfer" | "maintenance" | "unmanaging" => {
                Status::Busy
            }
            status if status.starts_with("error") => Status::Failed,
            _ => Status::Unknown,
        }
    }

    fn instance(self) -> Instance {
        let status = self.status();
        let mut instance = Instance::new(self.id, status, self.status.clone());
        // Cinder keeps the reason to itself; its messages are the administrator's.
        instance.fault = (status == Status::Failed)
            .then(|| format!("cinder says {}; ask the cloud's administrator", self.status));
        instance.allocation = Allocation { vcpu: None, ram_mib: None, disk_gib: Some(self.size) };
        instance
    }

    fn tagged(self) -> Option<Tagged> {
        let tag = self.metadata.get(tag::KEY)?.clone();
        let created_at = timestamp::ms(&self.created_at);
        Some(Tagged { tag, created_at, instance: self.instance(), driver_state: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_the_table_is_told_in_our_words() {
        use Status::{Busy, Creating, Failed, Ready, Unknown};
        for (status, ours) in [
            ("creating", Creating),
            ("available", Ready),
            ("in-use", Ready),
            ("attaching", Busy),
            ("deleting", Busy),
            ("error", Failed),
            ("error_deleting", Failed),
            ("error_backing-up", Failed),
            ("something-new", Unknown),
        ] {
            let volume: Volume =
                serde_json::from_value(json!({"id": "v", "status": status, "size": 1})).unwrap();
            let instance = volume.instance();
            assert_eq!((instance.status, instance.fault.is_some()), (ours, ours == Failed), "{status}");
        }
    }
}

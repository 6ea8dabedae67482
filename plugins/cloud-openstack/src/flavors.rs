//! Flavours: the sizes of machines, and the smallest that fits.
//!
//! Smallest = fewest vCPU, then least memory, then least disk; the id settles the rest, so that the same order always
//! gets the same flavour.

use crate::cache::{self, Cache, Cached};
use crate::cloud::{Cloud, segment};
use crate::images::Image;
use crate::wire::Service;
use archipel_sdk::cloud::{ComputeSpec, SpecEntry};
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A flavour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flavor {
    pub(crate) id: String,
    #[serde(default)]
    name: String,
    vcpus: u32,
    ram: u64,
    disk: u64,
    #[serde(default, rename = "OS-FLV-DISABLED:disabled")]
    is_disabled: bool,
    /// None where this Nova or its policy does not tell.
    #[serde(default)]
    extra_specs: Option<BTreeMap<String, String>>,
}

/// `os-extra_specs`.
#[derive(Deserialize)]
struct ExtraSpecs {
    extra_specs: BTreeMap<String, String>,
}

thread_local! {
    static FLAVORS: Cache<Vec<Flavor>> = const { RefCell::new(Vec::new()) };
}

/// All flavours of the project, smallest first.
pub(crate) fn fresh(cloud: &Cloud<'_>) -> Result<Cached<Vec<Flavor>>> {
    known(cloud, 0)
}

fn known(cloud: &Cloud<'_>, ttl_ms: u64) -> Result<Cached<Vec<Flavor>>> {
    let key = cloud.cache_key("flavors", Service::Compute)?;
    cache::get(&FLAVORS, cloud.world, key, ttl_ms, || {
        let mut all: Vec<Flavor> = cloud.all(Service::Compute, "/flavors/detail", "flavors", &[])?;
        all.retain(|flavor| !flavor.is_disabled);
        all.sort_by(|a, b| (a.vcpus, a.ram, a.disk, &a.id).cmp(&(b.vcpus, b.ram, b.disk, &b.id)));
        Ok(all)
    })
}

/// The flavour for an order. One that is named alone is believed: Nova refuses what it does not know.
///
/// # Errors
/// `invalid` where none fits, also in a list that was asked for just now.
pub(crate) fn choose(cloud: &Cloud<'_>, ask: &ComputeSpec, image: Option<&Image>) -> Result<String> {
    if let Some(id) = ask.spec.as_ref().filter(|_| ask.disk_gib.is_none() && ask.requirements.is_empty()) {
        return Ok(id.clone());
    }
    let mut list = known(cloud, cloud.cache_ms())?;
    loop {
        if let Some(flavor) = fit(cloud, &list.value, ask, image)? {
            return Ok(flavor.id.clone());
        }
        if list.is_fresh {
            return Err(none_fits(&list.value, ask));
        }
        list = fresh(cloud)?;
    }
}

fn fit<'f>(
    cloud: &Cloud<'_>,
    flavors: &'f [Flavor],
    ask: &ComputeSpec,
    image: Option<&Image>,
) -> Result<Option<&'f Flavor>> {
    for flavor in flavors.iter().filter(|flavor| flavor.is_large_enough(ask, image)) {
        if ask.requirements.is_empty() || has(&flavor.extra_specs(cloud)?, &ask.requirements) {
            return Ok(Some(flavor));
        }
    }
    Ok(None)
}

/// Whether tags hold all that is required, exactly.
pub(crate) fn has(tags: &BTreeMap<String, String>, required: &BTreeMap<String, String>) -> bool {
    required.iter().all(|(key, value)| tags.get(key) == Some(value))
}

impl Flavor {
    fn is_large_enough(&self, ask: &ComputeSpec, image: Option<&Image>) -> bool {
        let named = ask.spec.as_ref().is_none_or(|id| *id == self.id);
        let ram = ask.ram_mib.unwrap_or(0).max(image.map_or(0, |image| image.min_ram));
        named && self.vcpus >= ask.vcpu.unwrap_or(0) && self.ram >= ram && self.has_disk(ask, image)
    }

    /// A root disk on a volume needs none of the flavour's. A flavour without a disk is for such machines alone: Nova
    /// refuses it to others.
    fn has_disk(&self, ask: &ComputeSpec, image: Option<&Image>) -> bool {
        if ask.boot_volume.is_some() {
            return true;
        }
        let disk = ask.disk_gib.unwrap_or(0).max(image.map_or(0, |image| image.min_disk));
        self.disk > 0 && self.disk >= disk
    }

    fn extra_specs(&self, cloud: &Cloud<'_>) -> Result<BTreeMap<String, String>> {
        match &self.extra_specs {
            Some(specs) => Ok(specs.clone()),
            None => {
                let path = format!("/flavors/{}/os-extra_specs", segment(&self.id)?);
                cloud.get::<ExtraSpecs>(Service::Compute, &path, &[]).map(|answer| answer.extra_specs)
            }
        }
    }

    /// As the contract says it.
    pub(crate) fn entry(&self) -> SpecEntry {
        SpecEntry {
            id: self.id.clone(),
            name: self.name.clone(),
            vcpu: self.vcpus,
            ram_mib: self.ram,
            disk_gib: self.disk,
            attributes: self.extra_specs.clone().unwrap_or_default().into_iter().collect(),
        }
    }
}

fn none_fits(flavors: &[Flavor], ask: &ComputeSpec) -> Error {
    let mut asked: Vec<String> = Vec::new();
    asked.extend(ask.spec.as_ref().map(|id| format!("id {id}")));
    asked.extend(ask.vcpu.map(|vcpu| format!("{vcpu} vcpu")));
    asked.extend(ask.ram_mib.map(|ram| format!("{ram} MiB of memory")));
    asked.extend(ask.disk_gib.map(|disk| format!("{disk} GiB of disk")));
    asked.extend(ask.requirements.iter().map(|(key, value)| format!("{key}={value}")));
    let asked = asked.join(", ");
    let message = match flavors.last() {
        Some(largest) => format!(
            "no flavour of {} fits ({asked}); the largest, {}, has {} vcpu, {} MiB and {} GiB",
            flavors.len(),
            largest.name,
            largest.vcpus,
            largest.ram,
            largest.disk
        ),
        None => "this project sees no flavour; ask the cloud's administrator for access to some".to_owned(),
    };
    Error::invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Script, cloud};

    fn flavor(id: &str, vcpus: u32, ram: u64, disk: u64) -> Flavor {
        Flavor { id: id.into(), name: id.into(), vcpus, ram, disk, ..Flavor::default() }
    }

    fn chosen(flavors: &[Flavor], ask: &ComputeSpec, image: Option<&Image>) -> Option<String> {
        let script = Script::default();
        fit(&cloud(&script), flavors, ask, image).unwrap().map(|flavor| flavor.id.clone())
    }

    #[test]
    fn the_smallest_that_fits_is_taken() {
        let list = [
            flavor("tiny", 1, 512, 1),
            flavor("zero", 1, 1024, 0),
            flavor("small", 1, 2048, 20),
            flavor("big", 8, 8192, 80),
        ];
        let ask = |vcpu, ram_mib, disk_gib| ComputeSpec { vcpu, ram_mib, disk_gib, ..ComputeSpec::default() };
        assert_eq!(chosen(&list, &ask(None, None, None), None).as_deref(), Some("tiny"));
        assert_eq!(
            chosen(&list, &ask(Some(1), Some(513), None), None).as_deref(),
            Some("small"),
            "none without a disk"
        );
        assert_eq!(chosen(&list, &ask(Some(2), None, None), None).as_deref(), Some("big"));
        assert_eq!(chosen(&list, &ask(None, None, Some(81)), None), None);
        let image: Image = serde_json::from_str(r#"{"id":"i","min_ram":600,"min_disk":2}"#).unwrap();
        assert_eq!(
            chosen(&list, &ask(None, None, None), Some(&image)).as_deref(),
            Some("small"),
            "the image counts"
        );
        let on_volume = ComputeSpec { boot_volume: Some(50), ram_mib: Some(1000), ..ComputeSpec::default() };
        assert_eq!(chosen(&list, &on_volume, Some(&image)).as_deref(), Some("zero"));
    }

    #[test]
    fn requirements_are_extra_specs() {
        let mut gpu = flavor("gpu", 4, 4096, 40);
        gpu.extra_specs = Some(BTreeMap::from([("accel".to_owned(), "a100".to_owned())]));
        let mut plain = flavor("plain", 1, 512, 1);
        plain.extra_specs = Some(BTreeMap::new());
        let ask = |value: &str| ComputeSpec {
            requirements: BTreeMap::from([("accel".to_owned(), value.to_owned())]),
            ..ComputeSpec::default()
        };
        assert_eq!(chosen(&[plain.clone(), gpu.clone()], &ask("a100"), None).as_deref(), Some("gpu"));
        assert_eq!(chosen(&[plain, gpu], &ask("h100"), None), None);
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_there_is() {
        let ask = ComputeSpec { vcpu: Some(64), ..ComputeSpec::default() };
        let error = none_fits(&[flavor("big", 8, 8192, 80)], &ask);
        assert_eq!(
            error.message(),
            "no flavour of 1 fits (64 vcpu); the largest, big, has 8 vcpu, 8192 MiB and 80 GiB"
        );
    }
}

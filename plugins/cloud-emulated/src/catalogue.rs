//! Sizes, images and networks that the cloud has from the start, and the choice of a size.

use archipel_sdk::cloud::{ComputeSpec, ImageEntry, SpecEntry};
use archipel_sdk::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A size of machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) vcpu: u32,
    pub(crate) ram_mib: u64,
    pub(crate) disk_gib: u64,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) alias: Option<String>,
    #[serde(default)]
    pub(crate) size_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) min_disk_gib: u64,
    #[serde(default)]
    pub(crate) min_ram_mib: u64,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A network that every account can use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) cidr: String,
}

impl Size {
    /// As the contract shows it.
    pub(crate) fn entry(&self) -> SpecEntry {
        SpecEntry {
            id: self.id.clone(),
            name: self.name.clone().unwrap_or_else(|| self.id.clone()),
            vcpu: self.vcpu,
            ram_mib: self.ram_mib,
            disk_gib: self.disk_gib,
            attributes: self.attributes.clone().into_iter().collect(),
        }
    }

    /// Why it does not do for what is asked on that image; none = it does.
    fn shortfall(&self, ask: &ComputeSpec, image: &Image) -> Option<String> {
        let row = |what, has: u64, needs: u64| (has < needs).then(|| format!("{what} {has}, {needs} needed"));
        row("vcpu", u64::from(self.vcpu), u64::from(ask.vcpu.unwrap_or(0)))
            .or_else(|| row("ram_mib", self.ram_mib, ask.ram_mib.unwrap_or(0).max(image.min_ram_mib)))
            .or_else(|| row("disk_gib", self.disk_gib, ask.disk_gib.unwrap_or(0).max(image.min_disk_gib)))
            .or_else(|| {
                let missing = ask.requirements.iter().find(|(k, v)| self.attributes.get(*k) != Some(*v));
                missing.map(|(key, value)| format!("no attribute {key}={value}"))
            })
    }

    /// Smaller is better; attributes that nobody asked for (a GPU) are worse than any amount.
    fn cost(&self, ask: &ComputeSpec) -> (usize, u32, u64, u64, &str) {
        let unasked = self.attributes.keys().filter(|key| !ask.requirements.contains_key(*key)).count();
        (unasked, self.vcpu, self.ram_mib, self.disk_gib, &self.id)
    }
}

/// The size for what is asked: the one that is named, if it does, else the smallest that does.
pub(crate) fn choose<'a>(sizes: &'a [Size], ask: &ComputeSpec, image: &Image) -> Result<&'a Size> {
    if let Some(id) = &ask.spec {
        let size = sizes.iter().find(|size| size.id == *id).ok_or_else(|| {
            Error::invalid(format!(
                "no spec `{id}`; this cloud has {}",
                listed(sizes.iter().map(|size| &size.id))
            ))
        })?;
        return match size.shortfall(ask, image) {
            Some(words) => {
                Err(Error::invalid(format!("spec `{id}` does not do for image `{}`: {words}", image.id)))
            }
            None => Ok(size),
        };
    }
    sizes
        .iter()
        .filter(|size| size.shortfall(ask, image).is_none())
        .min_by_key(|size| size.cost(ask))
        .ok_or_else(|| {
            let nearest = sizes.iter().max_by_key(|size| (size.vcpu, size.ram_mib));
            let words =
                nearest.and_then(|size| Some(format!("; `{}` has {}", size.id, size.shortfall(ask, image)?)));
            Error::invalid(format!("no spec of this cloud is large enough{}", words.unwrap_or_default()))
        })
}

impl Image {
    /// As the contract shows it.
    pub(crate) fn entry(&self) -> ImageEntry {
        let mut attributes: Vec<_> = self.attributes.clone().into_iter().collect();
        attributes.extend(self.alias.iter().map(|alias| ("alias".to_owned(), format!("@{alias}"))));
        ImageEntry {
            id: self.id.clone(),
            name: self.name.clone().unwrap_or_else(|| self.id.clone()),
            size_bytes: self.size_bytes,
            min_disk_gib: Some(self.min_disk_gib),
            min_ram_mib: Some(self.min_ram_mib),
            status: "active".to_owned(),
            attributes,
        }
    }
}

/// The image with this id or `@alias`.
pub(crate) fn image<'a>(images: &'a [Image], asked: &str) -> Option<&'a Image> {
    match asked.strip_prefix('@') {
        Some(alias) => images.iter().find(|image| image.alias.as_deref() == Some(alias)),
        None => images.iter().find(|image| image.id == asked),
    }
}

/// As `image`; an unknown one is an invalid request.
pub(crate) fn require_image<'a>(images: &'a [Image], asked: &str) -> Result<&'a Image> {
    image(images, asked).ok_or_else(|| {
        Error::invalid(format!(
            "no image `{asked}`; this cloud has {}",
            listed(images.iter().map(|image| &image.id))
        ))
    })
}

/// At most ten names, for a message.
fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.take(10).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What there is unless the configuration says otherwise.
pub(crate) fn default_sizes() -> Vec<Size> {
    let size = |id: &str, vcpu, ram_mib, disk_gib, attributes: &[(&str, &str)]| Size {
        id: id.to_owned(),
        name: None,
        vcpu,
        ram_mib,
        disk_gib,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    vec![
        size("tiny", 1, 512, 5, &[]),
        size("small", 1, 2048, 20, &[]),
        size("medium", 2, 4096, 40, &[]),
        size("large", 4, 8192, 80, &[]),
        size("xlarge", 8, 16_384, 160, &[]),
        size("2xlarge", 16, 32_768, 320, &[]),
        size("gpu", 8, 32_768, 160, &[("gpu", "true")]),
    ]
}

/// What there is unless the configuration says otherwise.
pub(crate) fn default_images() -> Vec<Image> {
    let image = |id: &str, name: &str, alias: &str, mib: u64, min_disk_gib, min_ram_mib| Image {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        alias: Some(alias.to_owned()),
        size_bytes: Some(mib << 20),
        min_disk_gib,
        min_ram_mib,
        attributes: BTreeMap::new(),
    };
    vec![
        image("img-cirros-0.6", "CirrOS 0.6", "cirros", 21, 1, 128),
        image("img-debian-13", "Debian 13", "debian", 330, 3, 512),
        image("img-ubuntu-24.04", "Ubuntu 24.04", "ubuntu", 590, 5, 1024),
    ]
}

/// What there is unless the configuration says otherwise: room for more machines than the default capacity.
pub(crate) fn default_networks() -> Vec<Network> {
    vec![Network {
        id: "default".to_owned(),
        name: Some("the cloud's own network".to_owned()),
        cidr: "10.64.0.0/16".to_owned(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(json: &str) -> ComputeSpec {
        serde_json::from_str(json).unwrap()
    }

    fn chosen(json: &str) -> Result<String> {
        let (sizes, images, ask) = (default_sizes(), default_images(), ask(json));
        let image = require_image(&images, &ask.image)?;
        choose(&sizes, &ask, image).map(|size| size.id.clone())
    }

    #[test]
    fn the_smallest_size_that_fits_is_taken() {
        assert_eq!(chosen(r#"{"image": "@cirros"}"#).unwrap(), "tiny");
        assert_eq!(chosen(r#"{"image": "@cirros", "vcpu": 3, "ram_mib": 1}"#).unwrap(), "large");
        assert_eq!(chosen(r#"{"image": "@cirros", "disk_gib": 6}"#).unwrap(), "small");
    }

    #[test]
    fn the_images_minimums_count_too() {
        assert_eq!(chosen(r#"{"image": "@ubuntu"}"#).unwrap(), "small");
        let error = chosen(r#"{"image": "@ubuntu", "spec": "tiny"}"#).unwrap_err();
        assert_eq!(
            error.message(),
            "spec `tiny` does not do for image `img-ubuntu-24.04`: ram_mib 512, 1024 needed"
        );
    }

    #[test]
    fn nobody_gets_a_gpu_without_asking() {
        assert_eq!(chosen(r#"{"image": "@cirros", "ram_mib": 20000}"#).unwrap(), "2xlarge");
        assert_eq!(chosen(r#"{"image": "@cirros", "requirements": {"gpu": "true"}}"#).unwrap(), "gpu");
    }

    #[test]
    fn what_does_not_exist_is_invalid_and_says_what_does() {
        let image = chosen(r#"{"image": "@windows"}"#).unwrap_err();
        assert!(
            image.message().starts_with("no image `@windows`; this cloud has img-cirros-0.6, "),
            "{image}"
        );
        let spec = chosen(r#"{"image": "@cirros", "spec": "huge"}"#).unwrap_err();
        assert!(spec.message().starts_with("no spec `huge`; this cloud has tiny, small, "), "{spec}");
        let none = chosen(r#"{"image": "@cirros", "vcpu": 99}"#).unwrap_err();
        assert_eq!(none.message(), "no spec of this cloud is large enough; `2xlarge` has vcpu 16, 99 needed");
        let tag = chosen(r#"{"image": "@cirros", "requirements": {"tpu": "true"}}"#).unwrap_err();
        assert!(tag.message().contains("no attribute tpu=true"), "{tag}");
    }
}

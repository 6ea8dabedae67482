//! Images: what machines and volumes start from.

use crate::cache::{self, Cache, Cached};
use crate::cloud::{Cloud, segment};
use crate::wire::Service;
use archipel_sdk::cloud::ImageEntry;
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    pub(crate) min_disk: u64,
    #[serde(default)]
    pub(crate) min_ram: u64,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    visibility: String,
    /// Only told to people, who are told what is fresh; so it is not remembered.
    #[serde(flatten, skip_serializing)]
    others: Map<String, Value>,
}

/// What Glance itself says of every image, beside what its owner wrote.
const NOT_ATTRIBUTES: &[&str] = &[
    "checksum",
    "container_format",
    "direct_url",
    "file",
    "locations",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
];

thread_local! {
    static IMAGES: Cache<Vec<Image>> = const { RefCell::new(Vec::new()) };
}

/// All images that the project can use.
pub(crate) fn fresh(cloud: &Cloud<'_>) -> Result<Cached<Vec<Image>>> {
    known(cloud, 0)
}

fn known(cloud: &Cloud<'_>, ttl_ms: u64) -> Result<Cached<Vec<Image>>> {
    let key = cloud.cache_key("images", Service::Image)?;
    cache::get(&IMAGES, cloud.world, key, ttl_ms, || cloud.all(Service::Image, "/images", "images", &[]))
}

/// The image that an order names: by id, or `@alias`.
///
/// # Errors
/// `invalid` for one that is not there or not usable, also in a list that was asked for just now.
pub(crate) fn choose(cloud: &Cloud<'_>, wanted: &str) -> Result<Image> {
    let list = known(cloud, cloud.cache_ms())?;
    if let Some(image) = find(cloud, &list.value, wanted) {
        return Ok(image.clone());
    }
    if !list.is_fresh
        && let Some(image) = find(cloud, &fresh(cloud)?.value, wanted)
    {
        return Ok(image.clone());
    }
    // Community images are used by id and listed nowhere.
    if let (false, Ok(id)) = (wanted.starts_with('@'), segment(wanted))
        && let Some(image) = unlisted(cloud, id)?
    {
        return Ok(image);
    }
    Err(Error::invalid(format!("no image {wanted:?}; list the images for those there are")))
}

fn unlisted(cloud: &Cloud<'_>, id: &str) -> Result<Option<Image>> {
    let (call, answer) = cloud.ask(Service::Image, "GET", &format!("/images/{id}"), &[], None)?;
    // Glance says so in the words of its router; but it has just answered the list, so this is the right place.
    if answer.status == 404 {
        return Ok(None);
    }
    let image: Image = crate::cloud::read(&call, answer)?;
    if image.is_usable() {
        Ok(Some(image))
    } else {
        Err(Error::invalid(format!("image {id} is {}", image.status)))
    }
}

/// By id; an alias by what the configuration says of it, else by name, the youngest first.
fn find<'i>(cloud: &Cloud<'_>, images: &'i [Image], wanted: &str) -> Option<&'i Image> {
    let by_id = |id: &str| images.iter().find(|image| image.id == id && image.is_usable());
    let Some(alias) = wanted.strip_prefix('@') else { return by_id(wanted) };
    let meant = cloud.config.images.get(alias).map_or(alias, String::as_str);
    let named = images.iter().filter(|image| image.name.as_deref() == Some(meant) && image.is_usable());
    by_id(meant).or_else(|| named.max_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id))))
}

impl Image {
    fn is_usable(&self) -> bool {
        self.status == "active"
    }

    /// As the contract says it.
    pub(crate) fn entry(&self) -> ImageEntry {
        let some = |amount: u64| (amount > 0).then_some(amount);
        let told = self.others.iter().filter(|(key, _)| !NOT_ATTRIBUTES.contains(&key.as_str()));
        let mut attributes: Vec<(String, String)> =
            told.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        attributes.push(("visibility".to_owned(), self.visibility.clone()));
        ImageEntry {
            id: self.id.clone(),
            name: self.name.clone().unwrap_or_default(),
            size_bytes: self.size,
            min_disk_gib: some(self.min_disk),
            min_ram_mib: some(self.min_ram),
            status: self.status.clone(),
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Script, cloud};

    fn image(id: &str, name: &str, created_at: &str, status: &str) -> Image {
        Image {
            id: id.into(),
            name: Some(name.into()),
            created_at: created_at.into(),
            status: status.into(),
            ..Image::default()
        }
    }

    #[test]
    fn an_alias_is_the_youngest_usable_image_of_that_name_unless_configured() {
        let script = Script::default();
        let mut cloud = cloud(&script);
        let images = [
            image("1", "debian", "2026-01-01T00:00:00Z", "active"),
            image("2", "debian", "2026-02-01T00:00:00Z", "active"),
            image("3", "debian", "2026-03-01T00:00:00Z", "queued"),
            image("4", "debian-11", "2026-03-01T00:00:00Z", "active"),
        ];
        let id = |cloud: &Cloud<'_>, wanted: &str| find(cloud, &images, wanted).map(|image| image.id.clone());
        assert_eq!(id(&cloud, "@debian").as_deref(), Some("2"));
        assert_eq!(id(&cloud, "1").as_deref(), Some("1"));
        assert_eq!(id(&cloud, "3"), None);
        assert_eq!(id(&cloud, "@stable"), None);
        let config = crate::config::Config {
            images: [("stable".to_owned(), "debian-11".to_owned()), ("first".to_owned(), "1".to_owned())]
                .into(),
            ..crate::config::Config::default()
        };
        cloud.config = &config;
        assert_eq!(id(&cloud, "@stable").as_deref(), Some("4"));
        assert_eq!(id(&cloud, "@first").as_deref(), Some("1"));
    }

    #[test]
    fn an_entry_tells_what_the_owner_wrote() {
        let image: Image = serde_json::from_str(
            r#"{"id":"1","name":"c","status":"active","size":9,"min_disk":0,"min_ram":64,"visibility":"public","os_distro":"cirros","checksum":"x","tags":[]}"#,
        )
        .unwrap();
        let entry = image.entry();
        assert_eq!((entry.size_bytes, entry.min_disk_gib, entry.min_ram_mib), (Some(9), None, Some(64)));
        assert_eq!(
            entry.attributes,
            [("os_distro".to_owned(), "cirros".to_owned()), ("visibility".to_owned(), "public".to_owned())]
        );
    }
}

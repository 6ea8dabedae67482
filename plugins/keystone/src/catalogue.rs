//! Where a cloud's services are: the catalogue of a scoped token.

use std::collections::{BTreeMap, BTreeSet};

use archipel_sdk::{Error, Result};
use serde::Deserialize;

/// The services that drivers use: our name, which is that of the first official type, and the types that catalogues give
/// them (<https://service-types.openstack.org>).
pub const SERVICES: [(&str, &[&str]); 5] = [
    ("compute", &["compute"]),
    ("volumev3", &["volumev3", "block-storage", "block-store"]),
    ("network", &["network"]),
    ("image", &["image"]),
    ("identity", &["identity"]),
];

/// The catalogue.
#[derive(Debug, Clone, Deserialize)]
pub struct Catalogue {
    catalog: Vec<Service>,
}

#[derive(Debug, Clone, Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    url: String,
}

impl Endpoint {
    fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

impl Catalogue {
    /// The region to use: the named one, or the only one there is.
    ///
    /// # Errors
    /// `permanent`, listing the regions there are.
    pub fn region<'c>(&'c self, named: Option<&'c str>) -> Result<&'c str> {
        let regions: BTreeSet<&str> =
            self.endpoints().filter_map(|(_, endpoint)| endpoint.region()).collect();
        let known = listed(&regions);
        match (named, regions.iter().next()) {
            (Some(named), _) if regions.contains(named) => Ok(named),
            (Some(named), _) => {
                Err(Error::permanent(format!("the catalogue has no region {named:?}; it has {known}")))
            }
            (None, Some(only)) if regions.len() == 1 => Ok(only),
            (None, _) => Err(Error::permanent(format!("name a `region`; the catalogue has {known}"))),
        }
    }

    /// The addresses of [`SERVICES`] by our names, without a slash at the end. Services that the catalogue does not have are
    /// left out, unless they are `required`.
    ///
    /// # Errors
    /// `permanent` for a required service without such an endpoint, listing what there is.
    pub fn addresses(
        &self,
        region: &str,
        interface: &str,
        required: &[impl AsRef<str>],
    ) -> Result<BTreeMap<&'static str, String>> {
        let address = |types: &[&str]| {
            types.iter().find_map(|kind| {
                self.endpoints()
                    .find(|(service, endpoint)| {
                        *service == *kind
                            && endpoint.region() == Some(region)
                            && endpoint.interface == interface
                            && !endpoint.url.is_empty()
                    })
                    .map(|(_, endpoint)| endpoint.url.trim_end_matches('/').to_owned())
            })
        };
        let found: BTreeMap<&str, String> =
            SERVICES.iter().filter_map(|(name, types)| Some((*name, address(types)?))).collect();
        for service in required {
            let service = service.as_ref();
            if !found.contains_key(service) {
                let all: BTreeSet<String> = self
                    .endpoints()
                    .filter(|(_, endpoint)| endpoint.region() == Some(region))
                    .map(|(kind, endpoint)| format!("{kind} ({})", endpoint.interface))
                    .collect();
                return Err(Error::permanent(format!(
                    "the catalogue has no {interface} endpoint of {service:?} in region {region:?}; it has {}",
                    listed(&all)
                )));
            }
        }
        Ok(found)
    }

    /// All endpoints with their service's type.
    fn endpoints(&self) -> impl Iterator<Item = (&str, &Endpoint)> {
        self.catalog
            .iter()
            .flat_map(|service| service.endpoints.iter().map(|endpoint| (service.kind.as_str(), endpoint)))
    }
}

fn listed(words: &BTreeSet<impl AsRef<str>>) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(region: &str, interface: &str, url: &str) -> serde_json::Value {
        serde_json::json!({"id": "e", "interface": interface, "region_id": region, "region": region, "url": url})
    }

    fn catalogue() -> Catalogue {
        serde_json::from_value(serde_json::json!({"links": {}, "catalog": [
            {"type": "compute", "name": "nova", "endpoints": [
                endpoint("north", "public", "http://n/v2.1/"), endpoint("south", "public", "http://s/v2.1"),
                endpoint("north", "internal", "http://ni/v2.1")]},
            {"type": "block-storage", "name": "cinder", "endpoints": [endpoint("north", "public", "http://v/v3/p1")]},
            {"type": "placement", "name": "placement", "endpoints": [endpoint("north", "public", "http://p")]},
            {"type": "empty", "name": "x", "endpoints": []},
        ]}))
        .unwrap()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn endpoints_are_those_of_region_and_interface_under_our_names() {
        let found = catalogue().addresses("north", "public", &["compute", "volumev3"]).unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("compute", "http://n/v2.1".to_owned()), ("volumev3", "http://v/v3/p1".to_owned())]
        );
        assert_eq!(catalogue().addresses("north", "internal", &NONE).unwrap()["compute"], "http://ni/v2.1");
        assert!(!catalogue().addresses("south", "public", &NONE).unwrap().contains_key("volumev3"));
    }

    #[test]
    fn a_missing_service_is_named_with_what_there_is() {
        let error = catalogue().addresses("south", "public", &["compute", "volumev3"]).unwrap_err();
        assert_eq!(
            error.message(),
            "the catalogue has no public endpoint of \"volumev3\" in region \"south\"; it has compute (public)"
        );
    }

    #[test]
    fn the_region_is_the_named_one_or_the_only_one() {
        assert_eq!(catalogue().region(Some("south")).unwrap(), "south");
        let error = catalogue().region(Some("west")).unwrap_err();
        assert_eq!(error.message(), "the catalogue has no region \"west\"; it has north, south");
        let error = catalogue().region(None).unwrap_err();
        assert_eq!(error.message(), "name a `region`; the catalogue has north, south");
        let mut one = catalogue();
        one.catalog.remove(0);
        assert_eq!(one.region(None).unwrap(), "north");
        one.catalog.clear();
        assert_eq!(one.region(None).unwrap_err().message(), "name a `region`; the catalogue has none");
    }
}

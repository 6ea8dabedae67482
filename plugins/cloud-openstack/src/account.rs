//! What the local token tells of the account: its project, and where the services are.
//!
//! The mapper logs in to Keystone and writes the catalogue of that login, already cut down to the cloud's region and
//! interface, into the token's attributes; so the driver needs no call to learn it, and two accounts of one site may
//! live in two regions.

use crate::config::Config;
use crate::wire::Service;
use archipel_sdk::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The attributes of a local token.
#[derive(Debug, Deserialize)]
pub(crate) struct Attributes {
    openstack: OpenStack,
}

/// What `keystone` (the mappers' login) writes.
#[derive(Debug, Deserialize)]
struct OpenStack {
    project_id: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    endpoints: BTreeMap<String, String>,
}

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The project that owns all it makes.
    pub(crate) project: String,
    region: String,
    endpoints: BTreeMap<Service, String>,
}

/// The names under which catalogues list a service, the best first.
fn types(service: Service) -> &'static [&'static str] {
    match service {
        Service::Compute => &["compute"],
        Service::Volume => &["volumev3", "block-storage", "volume"],
        Service::Network => &["network"],
        Service::Image => &["image"],
    }
}

/// The version that the path must hold, where catalogues leave it out.
fn version(service: Service) -> Option<&'static str> {
    match service {
        Service::Compute | Service::Volume => None,
        Service::Network => Some("/v2.0"),
        Service::Image => Some("/v2"),
    }
}

impl Account {
    /// Reads the attributes; the configuration's endpoints go first.
    pub(crate) fn new(attributes: Attributes, config: &Config) -> Account {
        let OpenStack { project_id, region, endpoints } = attributes.openstack;
        let mut known = BTreeMap::new();
        for service in [Service::Compute, Service::Volume, Service::Network, Service::Image] {
            let configured =
                config.endpoints.get(&service).map(|url| url.replace("$(project_id)s", &project_id));
            let found = || types(service).iter().find_map(|name| endpoints.get(*name)).cloned();
            if let Some(url) = configured.or_else(found) {
                known.insert(service, with_version(url.trim_end_matches('/'), version(service)));
            }
        }
        Account { project: project_id, region: region.unwrap_or_default(), endpoints: known }
    }

    /// Where a service is, without a slash at the end.
    ///
    /// # Errors
    /// `unsupported` where the catalogue has no such service.
    pub(crate) fn endpoint(&self, service: Service) -> Result<&str> {
        self.endpoints.get(&service).map(String::as_str).ok_or_else(|| {
            Error::unsupported(format!(
                "project {} has no {} endpoint in region {:?}; see Keystone's catalogue, or set endpoints in the cloud's config",
                self.project,
                types(service).first().copied().unwrap_or_default(),
                self.region,
            ))
        })
    }
}

fn with_version(url: &str, version: Option<&str>) -> String {
    match version {
        Some(version) if !url.ends_with(version) => format!("{url}{version}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::ErrorKind;

    fn account(endpoints: &str, config: &str) -> Account {
        let attributes = format!(
            r#"{{"openstack":{{"auth_url":"http://k/v3","project_id":"p1","user_id":"u","region":"R","interface":"public","endpoints":{endpoints}}}}}"#
        );
        Account::new(
            serde_json::from_str(&attributes).unwrap(),
            &archipel_sdk::config::parse(config).unwrap(),
        )
    }

    #[test]
    fn endpoints_get_the_version_that_catalogues_leave_out_and_no_slash() {
        let account = account(
            r#"{"compute":"http://c:8774/v2.1/","volumev3":"http://v/v3/p1","network":"http://n:9696","image":"http://i/v2"}"#,
            "{}",
        );
        assert_eq!(account.endpoint(Service::Compute).unwrap(), "http://c:8774/v2.1");
        assert_eq!(account.endpoint(Service::Volume).unwrap(), "http://v/v3/p1");
        assert_eq!(account.endpoint(Service::Network).unwrap(), "http://n:9696/v2.0");
        assert_eq!(account.endpoint(Service::Image).unwrap(), "http://i/v2");
    }

    #[test]
    fn the_configuration_goes_before_the_catalogue() {
        let account = account(
            r#"{"block-storage":"http://v/v3/p1"}"#,
            r#"{"endpoints":{"compute":"https://gateway/nova/$(project_id)s"}}"#,
        );
        assert_eq!(account.endpoint(Service::Compute).unwrap(), "https://gateway/nova/p1");
        assert_eq!(account.endpoint(Service::Volume).unwrap(), "http://v/v3/p1");
    }

    #[test]
    fn a_service_that_is_not_there_is_unsupported_and_says_where_to_look() {
        let error = account("{}", "{}").endpoint(Service::Image).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("no image endpoint in region \"R\""), "{error}");
    }
}

//! What policies are asked about.
#![allow(dead_code, reason = "each bench uses its own part")]

use archipel_model::plugin::Resource;
use archipel_model::{FederationUser, OrderId};
use serde_json::json;

use crate::site::{self, Site};

/// Attributes of [`with_attributes`]: 10 KiB with their names.
const ATTRIBUTES: usize = 40;
const ATTRIBUTE: usize = 246;

/// The user.
pub(crate) fn alice(site: &Site) -> FederationUser {
    FederationUser {
        issuer: "https://site-a.example.org".to_owned(),
        subject: site::ALICE.to_owned(),
        name: "Alice".to_owned(),
        email: Some("alice@example.org".to_owned()),
        groups: vec!["physics".to_owned()],
        entitlements: Vec::new(),
        attributes: Vec::new(),
        home_site: Some(site.id.clone()),
        assurance: String::new(),
        authenticated_at: site.clock.now(),
        expires_at: None,
    }
}

/// The same with 10 KiB of attributes, as an identity provider with much to say gives them.
pub(crate) fn with_attributes(user: FederationUser) -> FederationUser {
    let attribute = |number| (format!("attribute-{number:02}"), "v".repeat(ATTRIBUTE));
    FederationUser { attributes: (0..ATTRIBUTES).map(attribute).collect(), ..user }
}

/// An order for a compute, as the policy is asked about it when its owner reads it.
pub(crate) fn compute(site: &Site, user: &FederationUser) -> Resource {
    Resource {
        kind: "compute".to_owned(),
        id: Some(OrderId::generate()),
        cloud: Some("emulated".to_owned()),
        site: site.id.clone(),
        owner: Some(user.owner()),
        group: Some("physics".to_owned()),
        state: Some("fulfilled".to_owned()),
        labels: vec![("project".to_owned(), "lattice".to_owned())],
        spec: Some(json!({"name": "web", "image": "@cirros", "vcpu": 1, "ram_mib": 256})),
        owner_usage: None,
        group_usage: None,
    }
}

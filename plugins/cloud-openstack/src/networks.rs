//! Networks that are there already, whoever made them: to list, and to put a machine into.

use crate::cache::{self, Cache, Cached};
use crate::cloud::{Cloud, segment};
use crate::wire::Service;
use archipel_sdk::cloud::{CloudNetwork, ComputeSpec, NetworkRef, OrderRef};
use archipel_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;

/// A network, as far as joining it goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Joinable {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    project_id: String,
}

/// A subnet, as far as its range goes.
#[derive(Debug, Deserialize)]
struct Subnet {
    network_id: String,
    cidr: String,
}

thread_local! {
    static NETWORKS: Cache<Vec<Joinable>> = const { RefCell::new(Vec::new()) };
}

/// The networks that a machine of this project can join: its own and the shared ones. A public one of another project
/// is visible too, but only floating addresses come from it.
fn known(cloud: &Cloud<'_>, ttl_ms: u64) -> Result<Cached<Vec<Joinable>>> {
    let key = cloud.cache_key("networks", Service::Network)?;
    cache::get(&NETWORKS, cloud.world, key, ttl_ms, || {
        let fields = [("fields", "id"), ("fields", "name"), ("fields", "shared"), ("fields", "project_id")];
        let mut all: Vec<Joinable> = cloud.all(Service::Network, "/networks", "networks", &fields)?;
        all.retain(|network| network.shared || network.project_id == cloud.account.project);
        Ok(all)
    })
}

/// All of them, with their first range.
pub(crate) fn list(cloud: &Cloud<'_>) -> Result<Vec<CloudNetwork>> {
    let networks = known(cloud, 0)?;
    let fields = [("fields", "id"), ("fields", "network_id"), ("fields", "cidr")];
    let subnets: Vec<Subnet> = cloud.all(Service::Network, "/subnets", "subnets", &fields)?;
    let entry = |network: &Joinable| CloudNetwork {
        id: network.id.clone(),
        name: network.name.clone(),
        cidr: subnets.iter().find(|subnet| subnet.network_id == network.id).map(|subnet| subnet.cidr.clone()),
        shared: network.shared,
    };
    Ok(networks.value.iter().map(entry).collect())
}

/// The `networks` of a server's create: those of the order, else the configured one, else what Nova finds for itself.
pub(crate) fn of_compute(cloud: &Cloud<'_>, order: &OrderRef, ask: &ComputeSpec) -> Result<Value> {
    let default = cloud.config.default_network.clone().map(NetworkRef::CloudId);
    let wanted = if ask.networks.is_empty() { default.as_slice() } else { ask.networks.as_slice() };
    if wanted.is_empty() {
        return Ok(Value::from("auto"));
    }
    wanted
        .iter()
        .map(|wanted| {
            let id = match wanted {
                NetworkRef::Order(of) => order.instance_of(of)?.to_owned(),
                NetworkRef::CloudId(id) => resolve(cloud, id)?,
            };
            Ok(json!({ "uuid": segment(&id)? }))
        })
        .collect()
}

/// An id stays as it is (Nova refuses what it does not know); a name is looked up.
fn resolve(cloud: &Cloud<'_>, wanted: &str) -> Result<String> {
    if is_uuid(wanted) {
        return Ok(wanted.to_owned());
    }
    let list = known(cloud, cloud.cache_ms())?;
    let named = |list: &[Joinable]| -> Vec<String> {
        list.iter().filter(|network| network.name == wanted).map(|network| network.id.clone()).collect()
    };
    let mut found = named(&list.value);
    if found.is_empty() && !list.is_fresh {
        found = named(&known(cloud, 0)?.value);
    }
    match (found.pop(), found.len()) {
        (Some(id), 0) => Ok(id),
        (Some(_), others) => {
            Err(Error::invalid(format!("{} networks are called {wanted:?}; name one by its id", others + 1)))
        }
        (None, _) => Err(Error::invalid(format!(
            "no network {wanted:?}; list the cloud's networks for those there are"
        ))),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

//! Networks: a Neutron network with one subnet, in two calls.
//!
//! The tag is the `description` of both: the one field that Neutron takes in the create's own body and lists by (its
//! tags are set by a call of their own). When the subnet is refused, the network is deleted again and the refusal is the
//! answer: nothing is left. When the second call has no answer, or the daemon dies in between, the next attempt begins
//! with `find-instances`: it finds the network, notes that it may be half made, and `get-instance` completes it.
//! Deleting the network takes the subnet with it; ports that others left keep it (409), and are theirs to delete.
//!
//! | Neutron's `status` | ours |
//! |---|---|
//! | `ACTIVE` with its subnet | ready |
//! | `BUILD`; `ACTIVE` without | creating |
//! | `DOWN` | busy |
//! | `ERROR` | failed |
//! | what later versions invent | unknown |

use crate::cloud::{Cloud, segment};
use crate::wire::Service;
use crate::{tag, timestamp};
use archipel_sdk::cloud::{
    AddressAllocation, CreateContext, Created, Instance, Known, NetworkSpec, Observed, OrderRef, Page,
    Status, Tagged,
};
use archipel_sdk::{Applied, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// When to look again at what was just completed.
const SOON_MS: u32 = 500;

#[derive(Deserialize)]
struct Answer {
    network: Network,
}

#[derive(Deserialize)]
struct SubnetAnswer {
    #[serde(rename = "subnet")]
    _subnet: Value,
}

/// A network.
#[derive(Debug, Deserialize)]
struct Network {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    project_id: String,
}

/// The driver's note about a network.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    /// Found without its subnet: the create broke off.
    #[serde(default)]
    is_half_made: bool,
}

/// The network, then its subnet.
pub(crate) fn request(cloud: &Cloud<'_>, context: &CreateContext) -> Result<Created> {
    let order = &context.order;
    let ask: NetworkSpec = order.spec_as()?;
    let mut body = Map::new();
    body.insert("name".to_owned(), tag::name(ask.name.as_deref(), order).into());
    body.insert("description".to_owned(), tag::whole(order)?.into());
    if let Some(mtu) = ask.mtu {
        body.insert("mtu".to_owned(), mtu.into());
    }
    let made: Answer = cloud.post(Service::Network, "/networks", &json!({ "network": body }))?;
    let id = made.network.id;
    match add_subnet(cloud, order, &ask, &id) {
        Ok(()) => Created::new(id).with_state(&Note::default()),
        Err(error) => Err(take_back(cloud, &id, error)),
    }
}

/// The half of a network that is there is deleted. Where that is certain, nothing was done.
fn take_back(cloud: &Cloud<'_>, id: &str, error: Error) -> Error {
    let is_refused = error.applied_state() == Applied::No;
    let path = format!("/networks/{id}");
    match is_refused && cloud.delete(Service::Network, &path, &[id]).is_ok() {
        true => error,
        false => error.applied(Applied::Unknown),
    }
}

fn add_subnet(cloud: &Cloud<'_>, order: &OrderRef, ask: &NetworkSpec, network: &str) -> Result<()> {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    let is_v6 = ask.cidr.contains(':');
    put("network_id", network.into());
    put("name", tag::name(ask.name.as_deref(), order).into());
    put("description", tag::whole(order)?.into());
    put("cidr", ask.cidr.as_str().into());
    put("ip_version", if is_v6 { 6 } else { 4 }.into());
    put("enable_dhcp", (ask.allocation == AddressAllocation::Dynamic).into());
    if is_v6 && ask.allocation == AddressAllocation::Dynamic {
        put("ipv6_address_mode", "dhcpv6-stateful".into());
        put("ipv6_ra_mode", "dhcpv6-stateful".into());
    }
    if let Some(gateway) = &ask.gateway {
        put("gateway_ip", gateway.as_str().into());
    }
    cloud.post::<SubnetAnswer>(Service::Network, "/subnets", &json!({ "subnet": body })).map(|_| ())
}

/// Looks at one, and completes what a break left half made.
pub(crate) fn get(cloud: &Cloud<'_>, known: Known<'_>) -> Result<Observed> {
    let path = format!("/networks/{}", segment(known.id)?);
    let found: Option<Answer> = cloud.look(Service::Network, &path, known.id)?;
    let Some(Answer { network }) = found else { return Ok(Observed::Gone) };
    let is_half_made = network.subnets.is_empty() && note(known.driver_state).is_half_made;
    let mut instance = network.instance();
    if is_half_made {
        match add_subnet(cloud, known.order, &known.order.spec_as()?, known.id) {
            Ok(()) => instance.poll_after_ms = Some(SOON_MS),
            Err(error) if is_final(&error) => {
                instance.status = Status::Failed;
                instance.fault = Some(error.message().to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Observed::Present(instance))
}

/// A refusal that another try will not change.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Conflict, Forbidden, Invalid, Permanent, QuotaExceeded, Unsupported};
    error.applied_state() == Applied::No
        && matches!(error.kind(), Conflict | Forbidden | Invalid | Permanent | QuotaExceeded | Unsupported)
}

fn note(driver_state: &str) -> Note {
    serde_json::from_str(driver_state).unwrap_or_default()
}

/// Deletes one, with its subnet.
pub(crate) fn delete(cloud: &Cloud<'_>, known: Known<'_>) -> Result<()> {
    cloud.delete(Service::Network, &format!("/networks/{}", segment(known.id)?), &[known.id])
}

/// Those of an order.
pub(crate) fn find(cloud: &Cloud<'_>, order: &OrderRef) -> Result<Vec<Tagged>> {
    let whole = tag::whole(order)?;
    let networks: Vec<Network> =
        cloud.all(Service::Network, "/networks", "networks", &[("description", whole)])?;
    let mut found = tagged(cloud, networks)?;
    found.retain(|tagged| tagged.tag == whole);
    found.sort_by(|a, b| (a.created_at, &a.instance.id).cmp(&(b.created_at, &b.instance.id)));
    Ok(found)
}

/// A page of all of ours. Neutron lists by whole descriptions only, so the project's others are left out here.
pub(crate) fn list(cloud: &Cloud<'_>, cursor: Option<&str>) -> Result<Page> {
    let own = [("project_id", cloud.account.project.as_str())];
    let page: crate::pages::Slice<Network> =
        cloud.page(Service::Network, "/networks", "networks", &own, cursor)?;
    let mut items = tagged(cloud, page.items)?;
    items.retain(|tagged| tag::is_ours(&tagged.tag, cloud.config));
    Ok(Page { items, next: page.next })
}

/// With the note that a create would have made. Shared networks of others are not ours, whatever is written on them.
fn tagged(cloud: &Cloud<'_>, networks: Vec<Network>) -> Result<Vec<Tagged>> {
    let own = networks.into_iter().filter(|network| network.project_id == cloud.account.project);
    own.map(|network| {
        let note = Note { is_half_made: network.subnets.is_empty() };
        Ok(Tagged {
            tag: network.description.clone(),
            created_at: timestamp::ms(&network.created_at),
            driver_state: serde_json::to_string(&note)?,
            instance: network.instance(),
        })
    })
    .collect()
}

impl Network {
    fn instance(self) -> Instance {
        let status = match (self.status.as_str(), self.subnets.is_empty()) {
            ("ACTIVE", true) | ("BUILD", _) => Status::Creating,
            ("ACTIVE", false) => Status::Ready,
            ("DOWN", _) => Status::Busy,
            ("ERROR", _) => Status::Failed,
            _ => Status::Unknown,
        };
        let mut instance = Instance::new(self.id, status, self.status);
        instance.fault = (status == Status::Failed)
            .then(|| "neutron says ERROR; ask the cloud's administrator".to_owned());
        instance
    }
}

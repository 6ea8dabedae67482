//! Drives a cloud with a small REST API: machines that are made, listed and deleted. Change the paths and the shapes of
//! `Machine` to those of your cloud, then record what it says: `archipel plugin test ... --record tests/exchanges.json`.
//!
//! The order's tag goes into the create itself (here as the machine's name), where the cloud can list it: after a crash the
//! host finds by it what was made.

use archipel_sdk::cloud::{Allocation, ComputeSpec};
use archipel_sdk::prelude::*;
use serde::Deserialize;
use serde_json::json;

/// The table `config` of the site file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where the API is, without a slash at the end.
    api_url: String,
}

/// A machine as the API shows it.
#[derive(Debug, Deserialize)]
struct Machine {
    id: String,
    name: String,
    state: String,
    #[serde(default)]
    cpus: Option<u32>,
    #[serde(default)]
    memory_mib: Option<u64>,
    #[serde(default)]
    addresses: Vec<String>,
}

/// A page of machines.
#[derive(Debug, Deserialize)]
struct Machines {
    machines: Vec<Machine>,
    #[serde(default)]
    next: Option<String>,
}

/// What the API says when something is not there.
#[derive(Debug, Deserialize)]
struct Absent {
    error: String,
}

struct Plugin;

impl Driver<Compute> for Plugin {
    fn request_instance(context: &CreateContext, token: &LocalToken) -> Result<Created> {
        let spec: ComputeSpec = context.order.spec_as()?;
        let body = json!({
            "name": context.order.tag, "image": spec.image, "cpus": spec.vcpu.unwrap_or(1),
            "memory_mib": spec.ram_mib.unwrap_or(512),
        });
        let made: Machine =
            http::post(&url("/machines")?).bearer(token).json(&body).send()?.error_for_status()?.json()?;
        Ok(Created::new(made.id))
    }

    fn get_instance(known: Known<'_>, token: &LocalToken) -> Result<Observed> {
        let answer = http::get(&machine_url(known.id)?).bearer(token).send()?;
        // A 404 alone is no statement about the machine: the project or the path may be what is missing.
        if answer.status() == 404 && answer.json::<Absent>().is_ok_and(|absent| absent.error == "no-such-machine") {
            return Ok(Observed::Gone);
        }
        Ok(Observed::Present(answer.error_for_status()?.json::<Machine>()?.instance()))
    }

    fn delete_instance(known: Known<'_>, token: &LocalToken) -> Result<()> {
        let answer = http::delete(&machine_url(known.id)?).bearer(token).send()?;
        match answer.status() {
            404 => Ok(()),
            _ => answer.error_for_status().map(drop),
        }
    }

    fn list_instances(token: &LocalToken, cursor: Option<&str>) -> Result<Page> {
        let mut request = http::get(&url("/machines")?).bearer(token);
        if let Some(cursor) = cursor {
            request = request.query(&[("after", cursor)]);
        }
        let page: Machines = request.send()?.error_for_status()?.json()?;
        let ours = page.machines.into_iter().filter(|machine| machine.name.starts_with("archipel:"));
        Ok(Page { items: ours.map(Machine::tagged).collect(), next: page.next })
    }
}

/// A URL of the API.
fn url(path: &str) -> Result<String> {
    Ok(format!("{}{path}", config::<Config>()?.api_url))
}

fn machine_url(id: &str) -> Result<String> {
    url(&format!("/machines/{}", http::percent_encoded(id)))
}

impl Machine {
    fn status(&self) -> Status {
        match self.state.as_str() {
            "building" => Status::Creating,
            "on" => Status::Ready,
            "off" => Status::Stopped,
            "deleting" => Status::Busy,
            "broken" => Status::Failed,
            _ => Status::Unknown,
        }
    }

    fn instance(self) -> Instance {
        let status = self.status();
        Instance {
            allocation: Allocation { vcpu: self.cpus, ram_mib: self.memory_mib, disk_gib: None },
            addresses: self.addresses,
            ..Instance::new(self.id, status, self.state)
        }
    }

    fn tagged(self) -> Tagged {
        Tagged { tag: self.name.clone(), created_at: None, driver_state: String::new(), instance: self.instance() }
    }
}

archipel_sdk::export! {
    Plugin: Compute;
    manifest = {
        "capabilities": {
            "hosts": [{ "config": "/api_url", "reason": "the cloud's API" }],
        },
        "config_schema": {
            "type": "object",
            "properties": { "api_url": { "type": "string", "format": "uri" } },
            "required": ["api_url"],
            "additionalProperties": false,
        },
        "drivers": { "compute": { "create": "searchable", "settle_ms": 5000 } },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_known_is_told_as_such() {
        let machine: Machine = serde_json::from_str(r#"{"id": "m-1", "name": "n", "state": "levitating"}"#).unwrap();
        assert_eq!(machine.status(), Status::Unknown);
        assert_eq!(machine.instance().cloud_state, "levitating");
    }
}

//! Power actions: Nova's server actions. Nova accepts (202) and works them off; `task_state` tells meanwhile.
//!
//! | ours | Nova's | so already |
//! |---|---|---|
//! | pause | `pause` | `PAUSED` |
//! | stop | `os-stop`: the guest has a minute to end by itself (`[DEFAULT] shutdown_timeout`) | `SHUTOFF` |
//! | start | `os-start` | `ACTIVE` |
//! | hibernate | `suspend` | `SUSPENDED`, `SHELVED`, `SHELVED_OFFLOADED` |
//! | resume | of `PAUSED` `unpause`, of `SUSPENDED` `resume`, of a shelved one `unshelve` | `ACTIVE` |
//! | reboot | `reboot`, `SOFT` | never |
//!
//! What is so already Nova refuses like what cannot be: 409 "Cannot 'pause' instance ... while it is in vm_state paused". So
//! after a conflict the server is looked at before that is believed. A server with a task running is `transient`, see
//! `refusal.rs`; a hypervisor that cannot do it answers 501 where Nova asks it at once, else the server stays as it was.

use super::server::Server;
use super::{Answer, Cloud, Service, segment};
use archipel_sdk::cloud::{Known, Status};
use archipel_sdk::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// What can be asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Pause,
    Resume,
    Stop,
    Start,
    Reboot,
    Hibernate,
}

impl Action {
    /// Where it leads, where that can be told from where it came from.
    fn leads_to(self) -> Option<Status> {
        match self {
            Action::Pause => Some(Status::Paused),
            Action::Stop => Some(Status::Stopped),
            Action::Hibernate => Some(Status::Hibernated),
            Action::Resume | Action::Start => Some(Status::Ready),
            Action::Reboot => None,
        }
    }
}

/// Asks Nova for it.
pub(crate) fn act(cloud: &Cloud<'_>, action: Action, known: Known<'_>) -> Result<()> {
    let body = match action {
        Action::Pause => json!({ "pause": null }),
        Action::Stop => json!({ "os-stop": null }),
        Action::Start => json!({ "os-start": null }),
        Action::Hibernate => json!({ "suspend": null }),
        Action::Reboot => json!({ "reboot": { "type": "SOFT" } }),
        Action::Resume => match waking(&look(cloud, known.id)?)? {
            Some(body) => body,
            None => return Ok(()),
        },
    };
    let path = format!("/servers/{}/action", segment(known.id)?);
    match cloud.tell(Service::Compute, &path, &body) {
        Err(refusal) if refusal.kind() == ErrorKind::Conflict => {
            let is_so = look(cloud, known.id).is_ok_and(|server| action.leads_to() == Some(server.status()));
            if is_so { Ok(()) } else { Err(refusal) }
        }
        told => told,
    }
}

/// What wakes a server that is so; none where it is awake.
fn waking(server: &Server) -> Result<Option<Value>> {
    match server.word() {
        "ACTIVE" => Ok(None),
        "PAUSED" => Ok(Some(json!({ "unpause": null }))),
        "SUSPENDED" => Ok(Some(json!({ "resume": null }))),
        "SHELVED" | "SHELVED_OFFLOADED" => Ok(Some(json!({ "unshelve": null }))),
        other => Err(Error::conflict(format!(
            "nova: the server is {other}; only paused and suspended ones resume"
        ))),
    }
}

fn look(cloud: &Cloud<'_>, id: &str) -> Result<Server> {
    let path = format!("/servers/{}", segment(id)?);
    let answer: Option<Answer<Server>> = cloud.look(Service::Compute, &path, id)?;
    let server = answer.map(|answer| answer.server).filter(|server| !server.is_gone());
    server.ok_or_else(|| Error::not_found(format!("nova: server {id} is not there")))
}

//! Volumes on computes: Nova's volume attachments. One call makes one.
//!
//! An attachment has no id that both services know, so ours is `SERVER:VOLUME`; a volume is attached to one server once.
//! The order's short tag goes in as the device tag and tells it from an attachment that the user made. Hypervisors that
//! know no device tags refuse it; it is then left out, and the pair, which is that of the order, has to do. The same
//! holds for a Nova that shows no tags (before 2.70).
//!
//! Nova knows an attachment as soon as it is asked for, and forgets it when it is undone; whether it is usable, Cinder
//! says:
//!
//! | Nova | Cinder's volume | ours |
//! |---|---|---|
//! | there | `in-use` by this server | ready |
//! | there | `error...` | failed |
//! | there | `detaching` | busy |
//! | there | otherwise | creating |
//! | not there, or no such server | | gone |

use crate::cloud::{Cloud, segment};
use crate::compute::{self, Server};
use crate::wire::Service;
use crate::{microversion, tag, volume};
use archipel_sdk::cloud::{
    AttachmentSpec, CreateContext, Created, Instance, Known, Observed, OrderRef, Page, Status, Tagged,
};
use archipel_sdk::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::json;

/// When to look again at what is on its way.
const SOON_MS: u32 = 500;

#[derive(Deserialize)]
struct Answer {
    /// Reading it is the check that this is Nova's answer.
    #[serde(rename = "volumeAttachment")]
    _attachment: Attachment,
}

#[derive(Deserialize)]
struct Attachments {
    #[serde(rename = "volumeAttachments")]
    attachments: Vec<Attachment>,
}

/// An attachment as Nova lists it.
#[derive(Debug, Deserialize)]
struct Attachment {
    #[serde(rename = "volumeId")]
    volume: String,
    #[serde(default)]
    tag: Option<String>,
}

/// Both halves of an id.
struct Pair {
    server: String,
    volume: String,
}

impl Pair {
    fn of_id(id: &str) -> Result<Pair> {
        let wrong = || Error::invalid(format!("{id:?} is no attachment; its id is SERVER:VOLUME"));
        let (server, volume) = id.split_once(':').ok_or_else(wrong)?;
        Ok(Pair { server: segment(server)?.to_owned(), volume: segment(volume)?.to_owned() })
    }

    fn of_order(order: &OrderRef) -> Result<Pair> {
        let ask: AttachmentSpec = order.spec_as()?;
        Ok(Pair {
            server: segment(order.instance_of(&ask.compute)?)?.to_owned(),
            volume: segment(order.instance_of(&ask.volume)?)?.to_owned(),
        })
    }

    fn id(&self) -> String {
        format!("{}:{}", self.server, self.volume)
    }

    fn path(&self) -> String {
        format!("/servers/{}/os-volume_attachments/{}", self.server, self.volume)
    }
}

/// One POST; two where the hypervisor knows no device tags.
pub(crate) fn request(cloud: &Cloud<'_>, context: &CreateContext) -> Result<Created> {
    let order = &context.order;
    let ask: AttachmentSpec = order.spec_as()?;
    let pair = Pair::of_order(order)?;
    match attach(cloud, &pair, &ask, Some(tag::short(&order.id))) {
        Err(error) if is_about_device_tags(&error) => attach(cloud, &pair, &ask, None),
        made => made,
    }
}

fn attach(cloud: &Cloud<'_>, pair: &Pair, ask: &AttachmentSpec, tag: Option<String>) -> Result<Created> {
    let mut body = json!({ "volumeId": pair.volume });
    for (key, value) in [("device", ask.device.clone()), ("tag", tag)] {
        if let (Some(members), Some(value)) = (body.as_object_mut(), value) {
            members.insert(key.to_owned(), value.into());
        }
    }
    let path = format!("/servers/{}/os-volume_attachments", pair.server);
    cloud.post::<Answer>(Service::Compute, &path, &json!({ "volumeAttachment": body }))?;
    Ok(Created::new(pair.id()))
}

/// "Tagged volume attachment is not supported for this server instance."
fn is_about_device_tags(error: &Error) -> bool {
    let words = error.message().to_ascii_lowercase();
    error.kind() == ErrorKind::Invalid && words.contains("tagged") && words.contains("not supported")
}

/// Looks at one: Nova first, then Cinder.
pub(crate) fn get(cloud: &Cloud<'_>, known: Known<'_>) -> Result<Observed> {
    let pair = Pair::of_id(known.id)?;
    let (call, answer) = cloud.ask(Service::Compute, "GET", &pair.path(), &[], None)?;
    // Without its server there is no attachment.
    if [&pair.server, &pair.volume].into_iter().any(|id| crate::refusal::says_gone(&answer, id)) {
        return Ok(Observed::Gone);
    }
    crate::cloud::read::<Answer>(&call, answer)?;
    Ok(Observed::Present(instance(cloud, &pair)?))
}

fn instance(cloud: &Cloud<'_>, pair: &Pair) -> Result<Instance> {
    let volume = volume::look(cloud, &pair.volume)?;
    let word = volume.as_ref().map_or("volume missing", |volume| volume.cloud_state()).to_owned();
    let status = match &volume {
        Some(volume) if volume.is_in_use_by(&pair.server) => Status::Ready,
        Some(volume) if volume.has_failed() => Status::Failed,
        Some(volume) if volume.cloud_state() == "detaching" => Status::Busy,
        Some(_) => Status::Creating,
        None => Status::Failed,
    };
    let mut instance = Instance::new(pair.id(), status, word.clone());
    instance.fault = (status == Status::Failed).then(|| format!("cinder says of the volume: {word}"));
    instance.poll_after_ms = matches!(status, Status::Creating | Status::Busy).then_some(SOON_MS);
    Ok(instance)
}

/// Detaches.
pub(crate) fn delete(cloud: &Cloud<'_>, known: Known<'_>) -> Result<()> {
    let pair = Pair::of_id(known.id)?;
    cloud.delete(Service::Compute, &pair.path(), &[&pair.server, &pair.volume])
}

/// That of an order: on its server, with its volume and its tag.
pub(crate) fn find(cloud: &Cloud<'_>, order: &OrderRef) -> Result<Vec<Tagged>> {
    let ask: AttachmentSpec = order.spec_as()?;
    // Without both there is nothing to attach, and nothing was.
    if order.instance_of(&ask.compute).is_err() || order.instance_of(&ask.volume).is_err() {
        return Ok(Vec::new());
    }
    let pair = Pair::of_order(order)?;
    let short = tag::short(&order.id);
    let attached = of_server(cloud, &pair.server)?;
    let is_ours = |attached: &Attachment| {
        attached.volume == pair.volume && attached.tag.as_ref().is_none_or(|tag| *tag == short)
    };
    match attached.iter().any(is_ours) {
        true => Ok(vec![tagged(cloud, &pair, tag::whole(order)?.to_owned())?]),
        false => Ok(Vec::new()),
    }
}

/// What is attached to a server; nothing where it is gone.
fn of_server(cloud: &Cloud<'_>, server: &str) -> Result<Vec<Attachment>> {
    let path = format!("/servers/{server}/os-volume_attachments");
    let found: Option<Attachments> = cloud.look(Service::Compute, &path, server)?;
    Ok(found.map(|answer| answer.attachments).unwrap_or_default())
}

/// A page of all of ours: those with an order's tag on our servers. The cursor is that of the servers.
pub(crate) fn list(cloud: &Cloud<'_>, cursor: Option<&str>) -> Result<Page> {
    if microversion::spoken(cloud.account.endpoint(Service::Compute)?) < microversion::SHOWS_ATTACHMENT_TAGS {
        return Err(Error::unsupported(
            "this nova shows no tags of attachments (before 2.70), so they cannot be listed",
        ));
    }
    let page = compute::servers(cloud, cursor)?;
    let mut items = Vec::new();
    for server in page.items.iter().filter(|server| server.has_volumes()) {
        items.extend(on(cloud, server)?);
    }
    Ok(Page { items, next: page.next })
}

fn on(cloud: &Cloud<'_>, server: &Server) -> Result<Vec<Tagged>> {
    let Some(whole) = server.tag() else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for attached in of_server(cloud, &server.id)? {
        if let Some(tag) = attached.tag.as_deref().and_then(|short| tag::beside(short, whole)) {
            let pair = Pair { server: server.id.clone(), volume: attached.volume };
            items.push(tagged(cloud, &pair, tag)?);
        }
    }
    Ok(items)
}

/// Neither service tells when it was attached; there is at most one.
fn tagged(cloud: &Cloud<'_>, pair: &Pair, tag: String) -> Result<Tagged> {
    Ok(Tagged { tag, instance: instance(cloud, pair)?, created_at: None, driver_state: String::new() })
}

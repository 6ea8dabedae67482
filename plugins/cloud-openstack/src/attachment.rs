//! Volumes on computes: Nova's volume attachments, in two calls.
//!
//! An attachment has no name, no metadata and no id that both services know; ours is `SERVER:VOLUME`, since a volume is
//! attached to one server once. So the order's tag is written into the volume's metadata first, under a key that names
//! the server, and then the volume is attached: an attachment without its tag is never ours, and a tag without an
//! attachment is a note that the next attempt writes again. (Nova's device tags look made for this. They are not: they
//! cannot be searched, and on hypervisors that keep no device metadata Nova fails to detach what was attached with one.)
//!
//! Nova knows an attachment as soon as it is asked for, and forgets it when it is undone; whether it is usable, Cinder
//! says:
//!
//! | Nova | Cinder's volume | ours |
//! |---|---|---|
//! | there | `in-use` by this server | ready |
//! | there | `error...`, or not there | failed |
//! | there | `detaching` | busy |
//! | there | otherwise | creating |
//! | not there, or no such server | | gone |

use crate::cloud::{Cloud, segment};
use crate::volume::{self, Volume};
use crate::wire::Service;
use crate::{pages, refusal, tag};
use archipel_sdk::cloud::{
    AttachmentSpec, CreateContext, Created, Instance, Known, Observed, OrderRef, Page, Status, Tagged,
};
use archipel_sdk::{Error, Result, warn};
use serde::Deserialize;
use serde_json::{Value, json};

/// Before the server's id, the metadata key of the attachment's tag.
const KEY: &str = "archipel-attachment-";

/// Nova's attachment. Reading it is the check that this is Nova's answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "volumeAttachment")]
    _attachment: Value,
}

/// Cinder's metadata, the same.
#[derive(Deserialize)]
struct Noted {
    #[serde(rename = "metadata")]
    _metadata: Value,
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

    fn of_order(order: &OrderRef, ask: &AttachmentSpec) -> Result<Pair> {
        Ok(Pair {
            server: segment(order.instance_of(&ask.compute)?)?.to_owned(),
            volume: segment(order.instance_of(&ask.volume)?)?.to_owned(),
        })
    }

    fn id(&self) -> String {
        format!("{}:{}", self.server, self.volume)
    }

    fn key(&self) -> String {
        format!("{KEY}{}", self.server)
    }

    fn path(&self) -> String {
        format!("/servers/{}/os-volume_attachments/{}", self.server, self.volume)
    }
}

/// Notes the tag, then attaches.
pub(crate) fn request(cloud: &Cloud<'_>, context: &CreateContext) -> Result<Created> {
    let order = &context.order;
    let ask: AttachmentSpec = order.spec_as()?;
    let pair = Pair::of_order(order, &ask)?;
    let note = json!({ "metadata": { pair.key(): tag::whole(order)? } });
    // Whatever comes of this call: nothing was attached.
    cloud
        .post::<Noted>(Service::Volume, &format!("/volumes/{}/metadata", pair.volume), &note)
        .map_err(|error| error.applied(archipel_sdk::Applied::No))?;
    let mut attachment = json!({ "volumeId": pair.volume });
    if let (Some(members), Some(device)) = (attachment.as_object_mut(), ask.device) {
        members.insert("device".to_owned(), device.into());
    }
    let path = format!("/servers/{}/os-volume_attachments", pair.server);
    cloud.post::<Answer>(Service::Compute, &path, &json!({ "volumeAttachment": attachment }))?;
    Ok(Created::new(pair.id()))
}

/// Looks at one: Nova first, then Cinder.
pub(crate) fn get(cloud: &Cloud<'_>, known: Known<'_>) -> Result<Observed> {
    let pair = Pair::of_id(known.id)?;
    if !is_known_to_nova(cloud, &pair)? {
        return Ok(Observed::Gone);
    }
    let volume = volume::look(cloud, &pair.volume)?;
    Ok(Observed::Present(instance(&pair, volume.as_ref())))
}

/// Without its server there is no attachment either.
fn is_known_to_nova(cloud: &Cloud<'_>, pair: &Pair) -> Result<bool> {
    let (call, answer) = cloud.ask(Service::Compute, "GET", &pair.path(), &[], None)?;
    if [&pair.server, &pair.volume].into_iter().any(|id| refusal::says_gone(&answer, id)) {
        return Ok(false);
    }
    crate::cloud::read::<Answer>(&call, answer).map(|_| true)
}

fn instance(pair: &Pair, volume: Option<&Volume>) -> Instance {
    let status = match volume {
        Some(volume) if volume.is_in_use_by(&pair.server) => Status::Ready,
        Some(volume) if volume.has_failed() => Status::Failed,
        Some(volume) if volume.cloud_state() == "detaching" => Status::Busy,
        Some(_) => Status::Creating,
        None => Status::Failed,
    };
    let word = volume.map_or("no volume", Volume::cloud_state);
    let mut instance = Instance::new(pair.id(), status, word);
    instance.fault = (status == Status::Failed).then(|| format!("cinder says of the volume: {word}"));
    instance
}

/// Detaches, and takes the note back. The note alone does no harm, so that is not insisted on.
pub(crate) fn delete(cloud: &Cloud<'_>, known: Known<'_>) -> Result<()> {
    let pair = Pair::of_id(known.id)?;
    cloud.delete(Service::Compute, &pair.path(), &[&pair.server, &pair.volume])?;
    let note = format!("/volumes/{}/metadata/{}", pair.volume, pair.key());
    if let Err(error) = cloud.delete(Service::Volume, &note, &[&pair.volume, &pair.key()]) {
        warn!(volume = pair.volume; "a note of an attachment stays in the volume's metadata: {error}");
    }
    Ok(())
}

/// That of an order: noted in its volume, and known to Nova.
pub(crate) fn find(cloud: &Cloud<'_>, order: &OrderRef) -> Result<Vec<Tagged>> {
    let ask: AttachmentSpec = order.spec_as()?;
    let whole = tag::whole(order)?;
    // Without both there is nothing to attach, and nothing was.
    let Ok(pair) = Pair::of_order(order, &ask) else { return Ok(Vec::new()) };
    let Some(volume) = volume::look(cloud, &pair.volume)? else { return Ok(Vec::new()) };
    let is_noted = volume.metadata().get(&pair.key()).is_some_and(|tag| tag == whole);
    if !is_noted || !is_known_to_nova(cloud, &pair)? {
        return Ok(Vec::new());
    }
    Ok(vec![tagged(&pair, whole, &volume)])
}

/// A page of all of ours: volumes with a note, and attached to the server that it names. What Nova has only begun to
/// attach is not among them; its order looks for itself.
pub(crate) fn list(cloud: &Cloud<'_>, cursor: Option<&str>) -> Result<Page> {
    let page: pages::Slice<Volume> =
        cloud.page(Service::Volume, "/volumes/detail", "volumes", &[], cursor)?;
    let mut items = Vec::new();
    for volume in &page.items {
        for (key, tag) in volume.metadata() {
            let Some(server) = key.strip_prefix(KEY) else { continue };
            if tag::is_ours(tag, cloud.config) && volume.is_attached_to(server) {
                let pair = Pair { server: server.to_owned(), volume: volume.id().to_owned() };
                items.push(tagged(&pair, tag, volume));
            }
        }
    }
    Ok(Page { items, next: page.next })
}

/// Neither service tells when it was attached; there is at most one.
fn tagged(pair: &Pair, tag: &str, volume: &Volume) -> Tagged {
    let instance = instance(pair, Some(volume));
    Tagged { tag: tag.to_owned(), instance, created_at: None, driver_state: String::new() }
}

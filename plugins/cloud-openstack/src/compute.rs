//! Virtual machines: Nova's servers. One call makes one.

pub(crate) mod power;
mod server;

use crate::cloud::{Cloud, segment};
use crate::wire::Service;
use crate::{flavors, images, networks, pace, tag, user_data};
use archipel_sdk::cloud::{ComputeSpec, CreateContext, Created, Known, Observed, OrderRef, Page, Tagged};
use archipel_sdk::{ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use server::Server;

/// The answer to a create and to a look.
#[derive(Deserialize)]
struct Answer<T> {
    server: T,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// One POST. What it needs to know beside (flavours, the image, a network's id) is remembered for a while. When Nova
/// refuses what was made of that, and what is seen afresh makes something else, that is asked for instead, once.
pub(crate) fn request(cloud: &Cloud<'_>, context: &CreateContext) -> Result<Created> {
    let order = &context.order;
    let ask: ComputeSpec = order.spec_as()?;
    let body = plan(cloud, order, &ask)?;
    match create(cloud, &body) {
        Err(error) if error.kind() == ErrorKind::Invalid => match plan(&cloud.afresh(), order, &ask) {
            Ok(other) if other != body => create(cloud, &other),
            _ => Err(error),
        },
        made => made,
    }
}

fn create(cloud: &Cloud<'_>, body: &Map<String, Value>) -> Result<Created> {
    let answer: Answer<Made> = cloud.post(Service::Compute, "/servers", &json!({ "server": body }))?;
    Ok(Created::new(answer.server.id))
}

/// The body of the create.
fn plan(cloud: &Cloud<'_>, order: &OrderRef, ask: &ComputeSpec) -> Result<Map<String, Value>> {
    let image = match is_named_whole(ask) {
        true => None,
        false => Some(images::choose(cloud, &ask.image)?),
    };
    let image_id = image.as_ref().map_or(ask.image.as_str(), |image| image.id.as_str());
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("name", tag::name(ask.name.as_deref(), order).into());
    put("flavorRef", flavors::choose(cloud, ask, image.as_ref())?.into());
    put("metadata", json!({ tag::KEY: tag::whole(order)? }));
    put("tags", json!([tag::KEY, tag::short(&order.id)]));
    put("networks", networks::of_compute(cloud, order, ask)?);
    match ask.boot_volume {
        None => put("imageRef", image_id.into()),
        Some(size) => put(
            "block_device_mapping_v2",
            json!([{
                "boot_index": 0, "uuid": image_id, "source_type": "image", "destination_type": "volume",
                "volume_size": size.max(ask.disk_gib.unwrap_or(0)), "delete_on_termination": true,
            }]),
        ),
    };
    if !ask.security_groups.is_empty() {
        put("security_groups", ask.security_groups.iter().map(|name| json!({ "name": name })).collect());
    }
    if let Some(zone) = &ask.availability_zone {
        put("availability_zone", zone.as_str().into());
    }
    if let Some(data) = user_data::encoded(ask.public_key.as_deref(), ask.user_data.as_deref())? {
        put("user_data", data.into());
    }
    Ok(body)
}

/// Image and flavour are named by id and nothing has to be compared: Nova is asked at once.
fn is_named_whole(ask: &ComputeSpec) -> bool {
    !ask.image.starts_with('@') && ask.spec.is_some() && ask.disk_gib.is_none() && ask.requirements.is_empty()
}

/// Looks at one.
pub(crate) fn get(cloud: &Cloud<'_>, known: Known<'_>) -> Result<Observed> {
    let path = format!("/servers/{}", segment(known.id)?);
    let found: Option<Answer<Server>> = cloud.look(Service::Compute, &path, known.id)?;
    let Some(Answer { server }) = found else { return Ok(Observed::Gone) };
    if server.is_gone() {
        return Ok(Observed::Gone);
    }
    let created_at = server.created_at();
    let mut instance = server.instance(Some(known.order));
    instance.poll_after_ms = pace::hint(&instance, created_at, cloud.world.now_ms());
    Ok(Observed::Present(instance))
}

/// Deletes one.
pub(crate) fn delete(cloud: &Cloud<'_>, known: Known<'_>) -> Result<()> {
    cloud.delete(Service::Compute, &format!("/servers/{}", segment(known.id)?), &[known.id])
}

/// Those of an order.
pub(crate) fn find(cloud: &Cloud<'_>, order: &OrderRef) -> Result<Vec<Tagged>> {
    let whole = tag::whole(order)?;
    let short = tag::short(&order.id);
    let servers: Vec<Server> =
        cloud.all(Service::Compute, "/servers/detail", "servers", &[("tags", &short)])?;
    let mut found: Vec<Tagged> = servers
        .into_iter()
        .filter(|server| server.tag() == Some(whole))
        .filter_map(|server| server.tagged(Some(order)))
        .collect();
    found.sort_by(|a, b| (a.created_at, &a.instance.id).cmp(&(b.created_at, &b.instance.id)));
    Ok(found)
}

/// A page of all of ours.
pub(crate) fn list(cloud: &Cloud<'_>, cursor: Option<&str>) -> Result<Page> {
    let page: crate::pages::Slice<Server> =
        cloud.page(Service::Compute, "/servers/detail", "servers", &[("tags", tag::KEY)], cursor)?;
    let ours = page.items.into_iter().filter_map(|server| server.tagged(None));
    let items = ours.filter(|tagged| tag::is_ours(&tagged.tag, cloud.config)).collect();
    Ok(Page { items, next: page.next })
}

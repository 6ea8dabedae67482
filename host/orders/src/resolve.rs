//! What the names in a request stand for: cloud, group, other orders.

use std::sync::Arc;

use archipel_model::order::{DependsOn, Kind, State};
use archipel_model::site::{CloudBinding, Generation};
use archipel_model::spec::{NetworkRef, Spec};
use archipel_model::{CloudName, Error, OrderId, SiteId};

use crate::request::Requester;
use crate::store::{OrderStore, Visible};
use crate::validate::wrong;

/// The cloud asked for, `NAME` or `NAME@SITE`; left out where the site has one.
pub(crate) fn cloud(
    generation: &Generation,
    here: &SiteId,
    site: Option<&str>,
    cloud: Option<&str>,
) -> Result<Arc<CloudBinding>, Error> {
    let (cloud, within) = match cloud.and_then(|name| name.split_once('@')) {
        Some((name, within)) => (Some(name), Some(within)),
        None => (cloud, None),
    };
    for named in [site, within].into_iter().flatten() {
        if named != here.as_str() {
            return Err(wrong(
                "site",
                &format!("{named:?} is no member here; write {here:?} or leave it out"),
            )
            .code("unknown-site"));
        }
    }
    match cloud {
        Some(name) => generation.cloud(name).cloned().map_err(|error| error.detail("field", "cloud")),
        None => {
            let mut clouds = generation.clouds.values();
            match (clouds.next(), clouds.next()) {
                (Some(only), None) => Ok(only.clone()),
                _ => {
                    let known: Vec<&str> = generation.clouds.keys().map(CloudName::as_str).collect();
                    Err(wrong(
                        "cloud",
                        &format!(
                            "is left out, and this site has not just one; write one of {}",
                            known.join(", ")
                        ),
                    ))
                }
            }
        }
    }
}

/// The group asked for, else the one the caller acts for, else the user's only one.
pub(crate) fn group(asked: &Option<String>, who: &Requester) -> Result<Option<String>, Error> {
    match (asked, &who.group, who.user.groups.as_slice()) {
        (Some(asked), _, groups) if groups.contains(asked) => Ok(Some(asked.clone())),
        (Some(_), ..) => Err(wrong("group", "is not one of your groups; see GET /v1/me")),
        (None, Some(group), _) => Ok(Some(group.clone())),
        (None, None, [only]) => Ok(Some(only.clone())),
        (None, None, _) => Ok(None),
    }
}

/// A reference to another order within a spec.
struct Reference<'a> {
    field: String,
    kind: Kind,
    text: &'a mut String,
}

fn references(spec: &mut Spec) -> Vec<Reference<'_>> {
    match spec {
        Spec::Compute(compute) => compute
            .networks
            .iter_mut()
            .enumerate()
            .filter_map(|(at, network)| match network {
                NetworkRef::Order(text) => {
                    Some(Reference { field: format!("networks[{at}].order"), kind: Kind::Network, text })
                }
                NetworkRef::CloudId(_) => None,
            })
            .collect(),
        Spec::Attachment(attachment) => vec![
            Reference { field: "compute".to_owned(), kind: Kind::Compute, text: &mut attachment.compute },
            Reference { field: "volume".to_owned(), kind: Kind::Volume, text: &mut attachment.volume },
        ],
        _ => Vec::new(),
    }
}

/// `$N`, or `None` for anything else.
fn place(text: &str) -> Option<Option<usize>> {
    text.strip_prefix('$').map(|number| number.parse().ok())
}

/// One more than the highest level of the items that this one refers to; `levels` are those of the items before it.
pub(crate) fn bulk_level(spec: &Spec, levels: &[usize]) -> Result<usize, Error> {
    let mut level = 0;
    for reference in references(&mut spec.clone()) {
        if let Some(place) = place(reference.text) {
            let below = place.and_then(|at| levels.get(at)).ok_or_else(|| {
                wrong(&reference.field, &format!("{:?} is no earlier item of this request", reference.text))
            })?;
            level = level.max(below + 1);
        }
    }
    Ok(level)
}

/// Puts ids in the place of `$N`.
pub(crate) fn bulk_references(
    spec: &mut Spec,
    accepted: impl Fn(usize) -> Option<OrderId>,
) -> Result<(), Error> {
    for reference in references(spec) {
        if let Some(place) = place(reference.text) {
            let id = place.and_then(&accepted).ok_or_else(|| {
                wrong(
                    &reference.field,
                    &format!("item {:?} was not accepted, so this one is not either", reference.text),
                )
            })?;
            *reference.text = id.to_string();
        }
    }
    Ok(())
}

/// The orders that this one rests on. What is not visible to the caller looks like what is not there.
pub(crate) async fn dependencies(
    spec: &Spec,
    cloud: &CloudName,
    visible: &Visible,
    store: &dyn OrderStore,
) -> Result<Vec<DependsOn>, Error> {
    let mut spec = spec.clone();
    let mut all: Vec<DependsOn> = Vec::new();
    for reference in references(&mut spec) {
        let field = reference.field.as_str();
        let unknown = || wrong(field, &format!("there is no {} order with this id", reference.kind));
        let id: OrderId = reference.text.parse().map_err(|_| unknown())?;
        let order = store.get(id).await?.ok_or_else(unknown)?;
        if !visible.covers(&order.owner(), order.group.as_deref()) {
            return Err(unknown());
        }
        if order.kind != reference.kind {
            return Err(wrong(field, &format!("is a {}; give a {}", order.kind, reference.kind)));
        }
        if order.cloud != *cloud {
            return Err(wrong(
                field,
                &format!("is in cloud {}, not in {cloud}; both must be in one cloud", order.cloud),
            ));
        }
        if matches!(
            order.state,
            State::FailedOnRequest | State::FailedAfterRequest | State::Closing | State::Closed
        ) {
            return Err(wrong(field, &format!("is {}; give one that will be there", order.state)));
        }
        if all.iter().all(|known| known.order != id) {
            all.push(DependsOn { order: id, kind: order.kind, cloud: order.cloud, site: order.site });
        }
    }
    Ok(all)
}

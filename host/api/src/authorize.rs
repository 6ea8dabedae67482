//! What he may do: the question that is put to the chain of authorization plugins for each request, and how far a yes
//! goes.
//!
//! | asked | resource | afterwards |
//! |---|---|---|
//! | one order | the order itself: owner, group, state, labels, spec | its owner must be within the reach, else 404 |
//! | a list | kind and cloud alone | the reach goes into the store's query, so pages stay full |
//! | a create | kind, cloud, spec, the caller as owner | `max-lease` and `add-labels` bind the order |
//! | `/v1/admin` | kind `admin` | the reach must be `any` |
//! | `/v1/admin/audit` | operation `list` on kind `audit`; where that is refused, kind `admin` | the reach must be `any` |
//!
//! A refusal tells nothing that the caller could not see anyway: 403 with the reason for the caller's own things and for
//! those he may read, 404 for all others.

use archipel_identity::Granted;
use archipel_model::order::{Kind, Order};
use archipel_model::plugin::{Operation, Reach, Resource};
use archipel_model::{ErrorKind, OrderId};
use archipel_orders::store::Visible;

use crate::audit;
use crate::authenticate::Who;
use crate::problem::{Answer, Problem, table};
use crate::state::App;

/// A resource of which only the kind is known.
pub(crate) fn resource(app: &App, kind: &str) -> Resource {
    Resource {
        kind: kind.to_owned(),
        id: None,
        cloud: None,
        site: app.info.id.clone(),
        owner: None,
        group: None,
        state: None,
        labels: Vec::new(),
        spec: None,
        owner_usage: None,
        group_usage: None,
    }
}

/// An order as a resource.
pub(crate) fn resource_of(order: &Order) -> Resource {
    Resource {
        kind: order.kind.as_str().to_owned(),
        id: Some(order.id),
        cloud: Some(order.cloud.to_string()),
        site: order.site.clone(),
        owner: Some(order.owner()),
        group: order.group.clone(),
        state: Some(order.state.as_str().to_owned()),
        labels: order.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        spec: Some(order.spec.clone()),
        owner_usage: None,
        group_usage: None,
    }
}

/// Asks the chain.
pub(crate) async fn allow(
    app: &App,
    who: &Who,
    operation: Operation,
    resource: &Resource,
) -> Answer<Granted> {
    let answer = app.identity.authorize(&who.caller, operation, resource, &who.info).await;
    who.trail.decided(&who.caller, resource, &answer);
    Ok(answer?)
}

/// Asks for something of the caller's own (`/v1/me`, sessions).
pub(crate) async fn allow_own(app: &App, who: &Who, operation: Operation, kind: &str) -> Answer<Granted> {
    let resource = Resource { owner: Some(who.caller.user.owner()), ..resource(app, kind) };
    allow(app, who, operation, &resource).await
}

/// Asks for something of a cloud.
pub(crate) async fn allow_cloud(
    app: &App,
    who: &Who,
    operation: Operation,
    kind: &str,
    cloud: Option<&str>,
) -> Answer<Granted> {
    let resource = Resource { cloud: cloud.map(str::to_owned), ..resource(app, kind) };
    allow(app, who, operation, &resource).await
}

/// Asks for `/v1/admin`: the whole site, or nothing.
pub(crate) async fn allow_admin(app: &App, who: &Who) -> Answer<()> {
    let granted = allow(app, who, Operation::Admin, &resource(app, "admin")).await?;
    if granted.reach == Reach::Any {
        return audit::before(app, who, Operation::Admin).await;
    }
    let why = "managing the site needs a policy that allows admin with reach any";
    who.trail.denied(why);
    Err(Problem::new(table::FORBIDDEN, why))
}

/// Asks for the audit: an auditor may read it and needs nothing else, and an administrator may too.
pub(crate) async fn allow_audit(app: &App, who: &Who) -> Answer<()> {
    match allow(app, who, Operation::List, &resource(app, "audit")).await {
        Ok(granted) if granted.reach == Reach::Any => return Ok(()),
        Err(problem) if problem.row() != table::FORBIDDEN => return Err(problem),
        _ => who.trail.asks_otherwise(),
    }
    allow_admin(app, who).await
}

/// How far a yes goes, as the store's queries take it.
pub(crate) fn visible(who: &Who, granted: &Granted) -> Visible {
    let owner = who.caller.user.owner();
    match (granted.reach, &who.caller.group) {
        (Reach::Any, _) => Visible::Any,
        (Reach::Group, Some(group)) => Visible::Group(owner, group.clone()),
        (Reach::Group | Reach::Own, _) => Visible::Own(owner),
    }
}

fn covers(who: &Who, granted: &Granted, order: &Order) -> bool {
    granted.covers(&who.caller, &order.owner(), order.group.as_deref())
}

/// The order so named, if the caller may do this with it.
pub(crate) async fn order(
    app: &App,
    who: &Who,
    operation: Operation,
    id: OrderId,
    kind: Option<Kind>,
) -> Answer<(Order, Granted)> {
    let found = match app.orders.get(&Visible::Any, id, kind).await {
        Ok(order) => order,
        Err(error) if error.kind == ErrorKind::NotFound => {
            // The same questions as for an order of someone else's: neither time nor an absent plugin tells them apart.
            let unknown = Resource { id: Some(id), ..resource(app, kind.map_or("order", Kind::as_str)) };
            return Err(match allow(app, who, operation, &unknown).await {
                Err(problem) if matches!(problem.row().status, 500 | 503) => problem,
                _ => Problem::not_found(),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let refusal = match allow(app, who, operation, &resource_of(&found)).await {
        Ok(granted) if covers(who, &granted, &found) => {
            audit::before(app, who, operation).await?;
            return Ok((found, granted));
        }
        Ok(_) => {
            let why = format!("the policy lets you {} your own orders alone", operation.as_str());
            who.trail.denied(&why);
            Problem::new(table::FORBIDDEN, why)
        }
        Err(problem) if problem.row() == table::FORBIDDEN => problem,
        Err(problem) => return Err(problem),
    };
    if found.owner() == who.caller.user.owner()
        || (operation != Operation::Read && may_read(app, who, &found).await?)
    {
        return Err(refusal);
    }
    Err(Problem::not_found())
}

async fn may_read(app: &App, who: &Who, order: &Order) -> Answer<bool> {
    match allow(app, who, Operation::Read, &resource_of(order)).await {
        Ok(granted) => Ok(covers(who, &granted, order)),
        Err(problem) if problem.row() == table::FORBIDDEN => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// Whether the caller may delete each of these (the rest of a cascade).
pub(crate) async fn may_delete_all(app: &App, who: &Who, orders: &[Order]) -> Answer<bool> {
    let resources: Vec<Resource> = orders.iter().map(resource_of).collect();
    let answers = app.identity.authorize_many(&who.caller, Operation::Delete, &resources, &who.info).await?;
    let mut all = answers.len() == orders.len();
    for (order, answer) in orders.iter().zip(answers) {
        match answer {
            Ok(granted) => all &= covers(who, &granted, order),
            Err(error) if error.kind == ErrorKind::Forbidden => all = false,
            Err(error) => return Err(error.into()),
        }
    }
    if all {
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        audit::before_all(app, who, &ids).await?;
    } else {
        who.trail.denied("orders that the caller may not delete rest on it");
    }
    Ok(all)
}

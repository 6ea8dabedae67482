//! `/v1/clouds`: the clouds of this site and what they offer. What a cloud offers is asked of the cloud itself, now, with
//! the local account that the mapper gives for the caller.

use std::sync::Arc;

use archipel_identity::Granted;
use archipel_model::plugin::{Operation, Usage};
use archipel_model::site::CloudBinding;
use archipel_model::{Error, ErrorKind, LocalToken};
use archipel_orders::store::{OrderQuery, Visible};
use archipel_orders::{Requester, amounts};
use axum::Json;
use axum::extract::{RawQuery, State};
use http::Uri;

use crate::authenticate::Who;
use crate::authorize;
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::path::InPath;
use crate::problem::{Answer, Problem, table};
use crate::query;
use crate::state::App;
use crate::view::cloud::{CloudView, ImageView, NetworkView, Quota, SpecView};

pub(crate) fn routes(routes: Routes) -> Routes {
    let about = "Asked of the cloud, now: 503 with Retry-After when it is away.";
    routes
        .get(
            "/v1/clouds",
            Op::new("list-clouds", "The clouds of this site").answer::<List<CloudView>>(200, "By name."),
            clouds,
        )
        .get(
            "/v1/clouds/{cloud}",
            Op::new("get-cloud", "One cloud").answer::<CloudView>(200, "With its health."),
            cloud,
        )
        .get(
            "/v1/clouds/{cloud}/specs",
            Op::new("list-specs", "Sizes of machines")
                .about(about)
                .answer::<List<SpecView>>(200, "Smallest first.")
                .problems(&[422]),
            specs,
        )
        .get(
            "/v1/clouds/{cloud}/specs/{id}",
            Op::new("get-spec", "One size").about(about).answer::<SpecView>(200, "It.").problems(&[422]),
            spec,
        )
        .get(
            "/v1/clouds/{cloud}/images",
            Op::new("list-images", "Images")
                .about(about)
                .answer::<List<ImageView>>(200, "That the account can use.")
                .problems(&[422]),
            images,
        )
        .get(
            "/v1/clouds/{cloud}/images/{id}",
            Op::new("get-image", "One image").about(about).answer::<ImageView>(200, "It.").problems(&[422]),
            image,
        )
        .get(
            "/v1/clouds/{cloud}/networks",
            Op::new("list-cloud-networks", "Networks that the cloud has")
                .about(about)
                .answer::<List<NetworkView>>(200, "That a compute of the account can use.")
                .problems(&[422]),
            networks,
        )
        .get(
            "/v1/clouds/{cloud}/quota",
            Op::new("get-quota", "What may still be used")
                .about(about)
                .answer::<Quota>(200, "Of the local account.")
                .problems(&[422]),
            quota,
        )
}

async fn clouds(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer {
    query::none(raw.as_deref())?;
    authorize::allow_cloud(&app, &who, Operation::List, "cloud", None).await?;
    let figures = app.orders.figures();
    let items = who.caller.generation.clouds.values();
    Ok(List::whole(items.map(|cloud| CloudView::of(cloud, figures.queues.get(&cloud.name))).collect())
        .answer(&uri))
}

async fn cloud(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<CloudView>> {
    query::none(raw.as_deref())?;
    let (cloud, _) = asked(&app, &who, Operation::Read, "cloud", &path).await?;
    Ok(Json(CloudView::of(&cloud, app.orders.figures().queues.get(&cloud.name))))
}

async fn specs(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, path: InPath, uri: Uri) -> Answer {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::List, "spec", &path).await?;
    let driver = cloud.specs.as_ref().ok_or_else(|| lacks(&cloud, "specs"))?;
    let ask = |token: LocalToken| async move { driver.get_all_specs(&token).await };
    let specs = at_cloud(&app, &who, &granted, &cloud, ask).await?;
    Ok(List::whole(specs.into_iter().map(SpecView::from).collect()).answer(&uri))
}

async fn spec(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<SpecView>> {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::Read, "spec", &path).await?;
    let driver = cloud.specs.as_ref().ok_or_else(|| lacks(&cloud, "specs"))?;
    let id = path.text("id")?;
    let ask = |token: LocalToken| async move { driver.get_spec(id, &token).await };
    Ok(Json(at_cloud(&app, &who, &granted, &cloud, ask).await?.into()))
}

async fn images(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, path: InPath, uri: Uri) -> Answer {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::List, "image", &path).await?;
    let driver = cloud.images.as_ref().ok_or_else(|| lacks(&cloud, "images"))?;
    let ask = |token: LocalToken| async move { driver.get_all_images(&token).await };
    let images = at_cloud(&app, &who, &granted, &cloud, ask).await?;
    Ok(List::whole(images.into_iter().map(ImageView::from).collect()).answer(&uri))
}

async fn image(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<ImageView>> {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::Read, "image", &path).await?;
    let driver = cloud.images.as_ref().ok_or_else(|| lacks(&cloud, "images"))?;
    let id = path.text("id")?;
    let ask = |token: LocalToken| async move { driver.get_image(id, &token).await };
    Ok(Json(at_cloud(&app, &who, &granted, &cloud, ask).await?.into()))
}

async fn networks(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    uri: Uri,
) -> Answer {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::List, "network", &path).await?;
    let driver = cloud.networks.as_ref().ok_or_else(|| lacks(&cloud, "networks"))?;
    let ask = |token: LocalToken| async move { driver.get_all_networks(&token).await };
    let networks = at_cloud(&app, &who, &granted, &cloud, ask).await?;
    Ok(List::whole(networks.into_iter().map(NetworkView::from).collect()).answer(&uri))
}

async fn quota(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<Quota>> {
    query::none(raw.as_deref())?;
    let (cloud, granted) = asked(&app, &who, Operation::Read, "quota", &path).await?;
    let driver = cloud.quota.as_ref().ok_or_else(|| lacks(&cloud, "a quota"))?;
    let ask =
        |token: LocalToken| async move { Ok((driver.get_user_quota(&token).await?, is_shared(&token))) };
    let (entries, shared) = at_cloud(&app, &who, &granted, &cloud, ask).await?;
    let own = own_usage(&app, &who, &cloud).await?;
    Ok(Json(Quota { entries: entries.into_iter().map(Into::into).collect(), shared, own: own.into() }))
}

/// The cloud that the path names, after the policy was asked. An unknown one is asked about too, so that the answer to
/// someone who may not look does not tell which clouds there are.
async fn asked(
    app: &App,
    who: &Who,
    operation: Operation,
    kind: &str,
    path: &InPath,
) -> Answer<(Arc<CloudBinding>, Granted)> {
    let name = path.text("cloud")?;
    let granted = authorize::allow_cloud(app, who, operation, kind, Some(name)).await?;
    let cloud = who.caller.generation.cloud(name).map_err(|_| Problem::not_found())?;
    Ok((Arc::clone(cloud), granted))
}

/// Who asks, as the engine takes it.
pub(crate) fn requester(who: &Who, granted: &Granted) -> Requester {
    Requester {
        user: who.caller.user.clone(),
        group: who.caller.group.clone(),
        visible: authorize::visible(who, granted),
        max_lease_s: granted.max_lease_s,
        add_labels: granted.add_labels.clone(),
        session: who.caller.token.clone(),
        request_id: who.info.request_id.clone(),
        client_address: who.info.client_address.clone(),
        audit: None,
    }
}

/// Asks a driver under the caller's local account. A token that it does not take (it was revoked at the cloud) is made
/// anew, once.
async fn at_cloud<T, F>(
    app: &App,
    who: &Who,
    granted: &Granted,
    cloud: &CloudBinding,
    ask: impl Fn(LocalToken) -> F,
) -> Answer<T>
where
    F: Future<Output = Result<T, Error>>,
{
    if let Some(reason) = &cloud.away {
        return Err(Problem::new(table::UNAVAILABLE, format!("cloud {} is away: {reason}", cloud.name)));
    }
    app.orders.check_cloud(&cloud.name)?;
    let requester = requester(who, granted);
    let token = app.orders.cloud_token(&requester, cloud).await.map_err(not_mapped)?;
    let answer = match ask(token.clone()).await {
        Err(error) if error.kind == ErrorKind::Unauthenticated => {
            app.orders.forget_cloud_token(cloud, &token).await;
            ask(app.orders.cloud_token(&requester, cloud).await.map_err(not_mapped)?).await
        }
        answer => answer,
    };
    answer.map_err(refused)
}

fn lacks(cloud: &CloudBinding, what: &str) -> Problem {
    match &cloud.away {
        Some(reason) => Problem::new(table::UNAVAILABLE, format!("cloud {} is away: {reason}", cloud.name)),
        None => Problem::new(table::UNSUPPORTED, format!("cloud {} does not tell {what}", cloud.name)),
    }
}

/// That a mapper forbids is about the caller, who has no account at this cloud.
fn not_mapped(error: Error) -> Problem {
    if error.kind == ErrorKind::Forbidden { error.into() } else { refused(error) }
}

/// What else a mapper says, and whatever a driver says, is about the local account, not about the caller: its
/// `unauthenticated` is no 401.
fn refused(error: Error) -> Problem {
    match error.kind {
        ErrorKind::Transient | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Internal => {
            error.into()
        }
        _ => {
            let problem =
                Problem::new(table::CLOUD_REFUSED, error.message).member("kind", error.kind.to_string());
            error.details.into_iter().fold(problem, |problem, (key, value)| problem.member(&key, value))
        }
    }
}

/// A mapper that gives each user an account of his own says `{"shared": false}` in the token's attributes.
fn is_shared(token: &LocalToken) -> bool {
    serde_json::from_str::<serde_json::Value>(&token.attributes)
        .ok()
        .and_then(|attributes| attributes.get("shared").and_then(serde_json::Value::as_bool))
        .unwrap_or(true)
}

/// Orders read at a time while they are added up.
const OWN_PAGE: usize = 500;

async fn own_usage(app: &App, who: &Who, cloud: &CloudBinding) -> Answer<Usage> {
    let own = Visible::Own(who.caller.user.owner());
    let mut query = OrderQuery { cloud: Some(cloud.name.clone()), ..OrderQuery::of(own, OWN_PAGE) };
    let mut sum = Usage::default();
    loop {
        let page = app.orders.list(&query).await?;
        for order in &page.items {
            let one = amounts::amounts(order);
            sum.instances += one.instances;
            sum.vcpu += one.vcpu;
            sum.ram_mib += one.ram_mib;
            sum.disk_gib += one.disk_gib;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(sum);
        }
    }
}
